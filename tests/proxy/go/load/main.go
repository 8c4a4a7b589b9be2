// Command load sends mixed traffic at a steady rate and says as JSON what became of it.
//
// A slow answer does not hold up the next call, until too many are under way. Every answer is compared with what was sent.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

const patience = 10 * time.Second

// parallel bounds the calls of one kind that are under way: a proxy that grows with them stays as large as they made it,
// and how many a slow moment of the machine piles up is none of its doing.
const parallel = 8

// surge is how often all of them are under way at once, so that the largest that there may be has soon been.
const surge = 5 * time.Second

type call func(ctx context.Context) error

func main() {
	host := flag.String("host", "127.0.0.1", "address of the service")
	rate := flag.Int("rate", 500, "calls a second, all kinds together")
	duration := flag.Duration("duration", time.Minute, "how long")
	flag.Parse()
	calls, err := kinds(*host)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	report := newReport()
	run(calls, *rate, *duration, report)
	_ = json.NewEncoder(os.Stdout).Encode(report.summary())
}

func run(calls map[string]call, rate int, duration time.Duration, report *report) {
	var kinds []chan struct{}
	var wait sync.WaitGroup
	for name, call := range calls {
		due := make(chan struct{})
		kinds = append(kinds, due)
		for range parallel {
			wait.Go(func() { report.work(name, call, due) })
		}
	}
	ticks := time.NewTicker(time.Second / time.Duration(rate))
	defer ticks.Stop()
	surges := time.NewTicker(surge)
	defer surges.Stop()
	for n, end := 0, time.Now().Add(duration); time.Now().Before(end); {
		select {
		case <-ticks.C:
			kinds[n%len(kinds)] <- struct{}{}
			n++
		case <-surges.C:
			for _, due := range kinds {
				for range parallel {
					due <- struct{}{}
				}
			}
		}
	}
	for _, due := range kinds {
		close(due)
	}
	wait.Wait()
}

func kinds(host string) (map[string]call, error) {
	address := func(port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }
	h1 := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	h2 := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
	h2.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
	conn, err := grpc.NewClient(address(10000), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	service := pb.NewTestServiceClient(conn)
	large := bytes.Repeat([]byte("x"), 64<<10)
	return map[string]call{
		"http1":       post(h1, "http://"+address(8080)+"/a", []byte("hello")),
		"http1-large": post(h1, "http://"+address(8080)+"/b", large),
		"http1-fresh": post(fresh, "http://"+address(8080)+"/c", []byte("fresh")),
		"http2":       post(h2, "http://"+address(8081)+"/d", []byte("hello")),
		"http2-large": post(h2, "http://"+address(8081)+"/e", large),
		"grpc-unary":  unary(service),
		"grpc-stream": stream(service),
		"tcp":         echo(address(9000)),
		"server-first": func(ctx context.Context) error {
			return greeting(ctx, address(7777))
		},
	}, nil
}

func post(client *http.Client, url string, body []byte) call {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		back, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK || !bytes.Equal(back, body) {
			return fmt.Errorf("status %d, %s, %d bytes", response.StatusCode, response.Header.Get("weft-error"), len(back))
		}
		return nil
	}
}

func unary(service pb.TestServiceClient) call {
	return func(ctx context.Context) error {
		answer, err := service.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 1000, Payload: &pb.Payload{Body: make([]byte, 100)}})
		if err == nil && len(answer.Payload.Body) != 1000 {
			return fmt.Errorf("%d bytes", len(answer.Payload.Body))
		}
		return err
	}
}

// stream sends three messages and hears an answer to each.
func stream(service pb.TestServiceClient) call {
	return func(ctx context.Context) error {
		calls, err := service.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		for size := int32(1); size <= 3; size++ {
			if err := calls.Send(&pb.StreamingOutputCallRequest{ResponseParameters: []*pb.ResponseParameters{{Size: size}}}); err != nil {
				return err
			}
			if _, err := calls.Recv(); err != nil {
				return err
			}
		}
		if err := calls.CloseSend(); err != nil {
			return err
		}
		if _, err := calls.Recv(); err != io.EOF {
			return fmt.Errorf("no end of the stream: %w", err)
		}
		return nil
	}
}

func echo(address string) call {
	return func(ctx context.Context) error {
		conn, err := dial(ctx, address)
		if err != nil {
			return err
		}
		defer conn.Close()
		sent := bytes.Repeat([]byte{0, 1, 2, 3}, 1000)
		if _, err := conn.Write(sent); err != nil {
			return err
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		back, err := io.ReadAll(conn)
		if err == nil && !bytes.Equal(sent, back) {
			return fmt.Errorf("%d bytes back of %d", len(back), len(sent))
		}
		return err
	}
}

func greeting(ctx context.Context, address string) error {
	conn, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.ReadFull(conn, make([]byte, len("220 ready\n")))
	return err
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	return conn, conn.SetDeadline(deadline)
}
