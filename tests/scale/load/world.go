package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	hotSize = 20 // endpoints of the hot service, number 0
	size    = 4  // endpoints of each other service
)

var namespace = "shop"

// World is the truth: services, each with one slice, and the pods behind them. Service 0 is the hot one, which every
// proxy watches. A change is told by the slice's zone, which carries the time of the change.
type World struct {
	mu       sync.Mutex
	services []Service
	pods     int
	log      map[string]*Log
	version  int
}

// Service is the state of one slice: how many endpoints are ready, and in which zone they say they are.
type Service struct {
	first, ready int
	zone         string
}

// Log is the history of one collection: a watch reads from where it stands and waits for more.
type Log struct {
	versions []int
	lines    [][]byte
	more     chan struct{}
}

// NewWorld has as many services, each of them with `size` of the pods, which are shared when they are fewer.
func NewWorld(services, pods int) *World {
	w := &World{pods: pods, version: 1, log: map[string]*Log{}}
	for path := range collections {
		w.log[path] = &Log{more: make(chan struct{})}
	}
	next := 0
	for n := range services {
		members := size
		if n == 0 {
			members = hotSize
		}
		w.services = append(w.services, Service{first: next, ready: members, zone: "z1"})
		next = (next + members) % pods
	}
	return w
}

func members(n int) int {
	if n == 0 {
		return hotSize
	}
	return size
}

// Change makes an event of service n: a new zone that tells the time, and one endpoint more or less.
func (w *World) Change(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	service := &w.services[n]
	service.ready = members(n) - (service.ready+1)%2
	service.zone = stamp(time.Now())
	w.version++
	log := w.log[slicesPath]
	log.versions = append(log.versions, w.version)
	log.lines = append(log.lines, fmt.Appendf(nil, `{"type":"MODIFIED","object":%s}`+"\n", w.slice(n)))
	close(log.more)
	log.more = make(chan struct{})
}

// Since returns the events after a version, the version they lead to, and what is closed when there are more.
func (w *World) Since(path string, version int) ([][]byte, int, chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.log[path]
	at := len(log.versions)
	for at > 0 && log.versions[at-1] > version {
		at--
	}
	return log.lines[at:], max(version, w.version), log.more
}

// Truth is what a proxy must hold of service n.
func (w *World) Truth(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var text strings.Builder
	service := w.services[n]
	found := make([]string, 0, service.ready)
	for i := range service.ready {
		pod := (service.first + i) % w.pods
		found = append(found, row(podIP(pod), 8080, service.zone, podName(pod)))
	}
	sortRows(found)
	text.WriteString(strings.Join(found, " "))
	return text.String()
}

func stamp(t time.Time) string { return fmt.Sprintf("t%d", t.UnixMicro()) }

func podIP(n int) [4]byte     { return [4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)} }
func serviceIP(n int) [4]byte { return [4]byte{10, 200, byte(n >> 8), byte(n)} }
func podName(n int) string    { return fmt.Sprintf("pod-%d-5d8f9c7b6-x2x4z", n) }
func serviceName(n int) string {
	return fmt.Sprintf("service-%d", n)
}
func dotted(ip [4]byte) string { return fmt.Sprintf("%d.%d.%d.%d", ip[0], ip[1], ip[2], ip[3]) }
