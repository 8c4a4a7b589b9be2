package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

const slicesPath = "/apis/discovery.k8s.io/v1/endpointslices"

// The bookkeeping that real objects carry and destination must skip.
var managed = fmt.Sprintf(`"managedFields":[{"manager":"kube-controller-manager","operation":"Update","fieldsV1":{%s"f:x":{}}}]`,
	strings.Repeat(`"f:metadata":{"f:labels":{}},`, 20))

var collections = map[string]func(*World, int) string{
	"/api/v1/namespaces": (*World).space,
	"/api/v1/services":   (*World).service,
	slicesPath:           (*World).slice,
	"/api/v1/pods":       (*World).pod,
	"/apis/weft.dev/v1alpha1/serviceprofiles": nil,
}

func (w *World) count(path string) int {
	switch {
	case collections[path] == nil:
		return 0
	case path == "/api/v1/namespaces":
		return 1
	case path == "/api/v1/pods":
		return w.pods
	}
	return len(w.services)
}

func (w *World) space(int) string {
	return fmt.Sprintf(`{"metadata":{"name":"%s","uid":"space","resourceVersion":"1"}}`, namespace)
}

func (w *World) service(n int) string {
	ip := dotted(serviceIP(n))
	return fmt.Sprintf(`{"metadata":{"name":"%s","namespace":"%s","uid":"uid-%d","resourceVersion":"1",%s},"spec":{"clusterIP":"%s",`+
		`"clusterIPs":["%s"],"type":"ClusterIP","ports":[{"name":"http","port":80,"targetPort":8080,"protocol":"TCP"}],`+
		`"selector":{"app":"%s"}}}`, serviceName(n), namespace, n, managed, ip, ip, serviceName(n))
}

func (w *World) slice(n int) string {
	service := w.services[n]
	var endpoints []string
	for i := range members(n) {
		pod := (service.first + i) % w.pods
		endpoints = append(endpoints, fmt.Sprintf(`{"addresses":["%s"],"conditions":{"ready":%t,"serving":true,"terminating":false},`+
			`"nodeName":"node-%d","zone":"%s","targetRef":{"kind":"Pod","namespace":"%s","name":"%s","uid":"uid-%d"}}`,
			dotted(podIP(pod)), i < service.ready, pod%100, service.zone, namespace, podName(pod), pod))
	}
	return fmt.Sprintf(`{"metadata":{"name":"%s-x7k2p","generateName":"%s-","namespace":"%s","uid":"slice-%d","resourceVersion":"%d",`+
		`"labels":{"kubernetes.io/service-name":"%s","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"},`+
		`"ownerReferences":[{"kind":"Service","name":"%s","uid":"uid-%d","controller":true}],%s},"addressType":"IPv4","endpoints":[%s],`+
		`"ports":[{"name":"http","port":8080,"protocol":"TCP"}]}`, serviceName(n), serviceName(n), namespace, n, w.version,
		serviceName(n), serviceName(n), n, managed, strings.Join(endpoints, ","))
}

func (w *World) pod(n int) string {
	ip := dotted(podIP(n))
	return fmt.Sprintf(`{"metadata":{"name":"%s","namespace":"%s","uid":"uid-%d","resourceVersion":"1","creationTimestamp":"2026-11-22T00:00:00Z",`+
		`"labels":{"app":"app-%d","weft.dev/proxy-version":"0.1.0","weft.dev/workload-kind":"deployment","weft.dev/workload":"app-%d"},`+
		`"ownerReferences":[{"kind":"ReplicaSet","name":"app-%d-5d8f9c7b6","uid":"r","controller":true}],%s},"spec":{"nodeName":"node-%d",`+
		`"serviceAccountName":"app-%d","containers":[{"name":"app","image":"registry.example/app:1","ports":[{"containerPort":8080}]}]},`+
		`"status":{"phase":"Running","podIP":"%s","podIPs":[{"ip":"%s"}]}}`, podName(n), namespace, n, n/4, n/4, n/4, managed, n%100, n/4, ip, ip)
}

// Serve answers lists, in pages, and watches, on a free loopback port; it returns the URL.
func (w *World) Serve() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go http.Serve(listener, http.HandlerFunc(w.answer))
	return "http://" + listener.Addr().String(), nil
}

func (w *World) answer(rw http.ResponseWriter, r *http.Request) {
	if _, known := collections[r.URL.Path]; !known {
		http.NotFound(rw, r)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	if query.Get("watch") != "" {
		version, _ := strconv.Atoi(query.Get("resourceVersion"))
		w.watch(rw, r, version)
		return
	}
	limit, _ := strconv.Atoi(query.Get("limit"))
	start, _ := strconv.Atoi(query.Get("continue"))
	w.page(rw, r.URL.Path, start, limit)
}

func (w *World) page(rw http.ResponseWriter, path string, start, limit int) {
	w.mu.Lock()
	total, version := w.count(path), w.version
	end, next := total, ""
	if limit > 0 && start+limit < total {
		end, next = start+limit, strconv.Itoa(start+limit)
	}
	var items []string
	for n := start; n < end; n++ {
		items = append(items, collections[path](w, n))
	}
	w.mu.Unlock()
	fmt.Fprintf(rw, `{"metadata":{"resourceVersion":"%d","continue":"%s"},"items":[%s]}`, version, next, strings.Join(items, ","))
}

func (w *World) watch(rw http.ResponseWriter, r *http.Request, version int) {
	flusher := rw.(http.Flusher)
	flusher.Flush()
	for {
		lines, now, more := w.Since(r.URL.Path, version)
		for _, line := range lines {
			rw.Write(line)
		}
		flusher.Flush()
		version = now
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}
