package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// kept bounds the error texts of one kind of call.
const kept = 5

// buckets of latency, 100 µs each; the last holds all that took longer.
const (
	bucket  = 100 * time.Microsecond
	buckets = 20000
)

type kind struct {
	Calls  int      `json:"calls"`
	Errors int      `json:"errors"`
	Causes []string `json:"causes,omitempty"`
	P50ms  float64  `json:"p50_ms"`
	P99ms  float64  `json:"p99_ms"`
	counts []int
}

type report struct {
	mutex sync.Mutex
	kinds map[string]*kind
}

func newReport() *report { return &report{kinds: map[string]*kind{}} }

// work makes a call whenever one is due, until no more will be.
func (r *report) work(name string, call call, due <-chan struct{}) {
	for range due {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		began := time.Now()
		err := call(ctx)
		r.add(name, time.Since(began), err)
		cancel()
	}
}

func (r *report) add(name string, took time.Duration, err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	k, ok := r.kinds[name]
	if !ok {
		k = &kind{counts: make([]int, buckets)}
		r.kinds[name] = k
	}
	k.Calls++
	if err == nil {
		k.counts[min(int(took/bucket), buckets-1)]++
		return
	}
	k.Errors++
	if text := err.Error(); len(k.Causes) < kept && !slices.Contains(k.Causes, text) {
		k.Causes = append(k.Causes, text)
	}
}

func (r *report) summary() map[string]*kind {
	for _, k := range r.kinds {
		k.P50ms, k.P99ms = k.quantile(0.5), k.quantile(0.99)
	}
	return r.kinds
}

// quantile in milliseconds.
func (k *kind) quantile(q float64) float64 {
	seen, wanted := 0, int(q*float64(k.Calls-k.Errors))
	for at, count := range k.counts {
		if seen += count; seen > wanted {
			return float64(at) * bucket.Seconds() * 1000
		}
	}
	return 0
}
