// Command app is what runs behind a proxy: HTTP/1.1 and HTTP/2 echo, a TCP echo, and a server that speaks first.
//
// Ports: 8080 HTTP/1.1, 8081 h2c, 8443 HTTP/2 in TLS of its own, 9000 TCP echo, 7777 greeter.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"
)

const greeting = "220 ready\n"

// maxHeaderBytes is more than any proxy lets through: what is refused, the proxy refuses.
const maxHeaderBytes = 4 << 20

func main() {
	go serve(8080, func(p *http.Protocols) { p.SetHTTP1(true) })
	go serve(8081, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
	go serveTLS(8443)
	go listen(9000, func(c net.Conn) { _, _ = io.Copy(c, c) })
	listen(7777, func(c net.Conn) {
		_, _ = io.WriteString(c, greeting)
		_, _ = io.Copy(c, c)
	})
}

func serve(port int, protocol func(*http.Protocols)) {
	server := &http.Server{Addr: fmt.Sprintf(":%d", port), Handler: http.HandlerFunc(echo), Protocols: new(http.Protocols)}
	server.MaxHeaderBytes = maxHeaderBytes
	protocol(server.Protocols)
	log.Fatal(server.ListenAndServe())
}

func serveTLS(port int) {
	server := &http.Server{Addr: fmt.Sprintf(":%d", port), Handler: http.HandlerFunc(echo)}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{selfSigned()}}
	log.Fatal(server.ListenAndServeTLS("", ""))
}

func selfSigned() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// echo answers with the request's body, or with "all is well" when there is none; it reads all before it answers.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("asked-by", r.Proto)
	if len(body) == 0 {
		body = []byte("all is well")
	}
	_, _ = io.Copy(w, bytes.NewReader(body))
}

func listen(port int, handle func(net.Conn)) {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer conn.Close()
			handle(conn)
		}()
	}
}
