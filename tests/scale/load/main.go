// load plays a Kubernetes API server and the proxies of a mesh, to measure destination. Orders come as JSON lines on
// stdin, each is answered by a JSON line on stdout: see Play's methods.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"
)

// Order is what is asked for; which fields count depends on Do.
type Order struct {
	Do       string   `json:"do"`
	To       []string `json:"to"`
	Services int      `json:"services"`
	Pods     int      `json:"pods"`
	Proxies  int      `json:"proxies"`
	Each     int      `json:"each"`
	Shared   int      `json:"shared"`
	PerSec   float64  `json:"per_second"`
	Seconds  float64  `json:"seconds"`
	Hot      bool     `json:"hot"`
	Number   int      `json:"number"`
	// For a real cluster: where the services are, and what proxies must hold of each.
	Namespace string         `json:"namespace"`
	Truth     map[int]string `json:"truth"`
}

// Answer is what is told back.
type Answer map[string]any

// Play is the state of a run.
type Play struct {
	world   *World
	proxies []*Proxy
	watched int
	decoded Decoded

	mu sync.Mutex
	to []string
}

// Address is one of the destinations, at random as from DNS.
func (p *Play) Address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.to[rand.IntN(len(p.to))]
}

func main() {
	play := &Play{decoded: Decoded{known: map[string]*Update{}}}
	orders := bufio.NewScanner(os.Stdin)
	orders.Buffer(nil, 1<<26)
	for orders.Scan() {
		var order Order
		if err := json.Unmarshal(orders.Bytes(), &order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		text, _ := json.Marshal(play.obey(order))
		fmt.Println(string(text))
	}
}

func (p *Play) obey(o Order) Answer {
	switch o.Do {
	case "kubernetes":
		return p.kubernetes(o)
	case "to":
		p.mu.Lock()
		p.to = o.To
		p.mu.Unlock()
		return Answer{}
	case "connect":
		return p.connect(o)
	case "served":
		return p.served(o)
	case "change":
		return p.change(o)
	case "touch":
		return p.touch(o.Number)
	case "stall":
		return p.stall(o.Number)
	case "read":
		return p.readOn()
	case "forget":
		p.forget()
		return Answer{}
	case "settle":
		p.settle()
		return p.totals(p.latencies(Answer{}, time.Now()))
	case "compare":
		return p.compare(o.Truth)
	}
	return Answer{"error": "unknown order " + o.Do}
}

// kubernetes starts the API server with `services` and `pods`.
func (p *Play) kubernetes(o Order) Answer {
	p.world = NewWorld(o.Services, o.Pods)
	url, err := p.world.Serve()
	if err != nil {
		return Answer{"error": err.Error()}
	}
	return Answer{"url": url}
}

// connect starts `proxies`, each watching the hot service and `each` others, so that `shared` proxies watch each of these.
func (p *Play) connect(o Order) Answer {
	if o.Namespace != "" {
		namespace = o.Namespace
	}
	p.watched = o.Proxies * o.Each / o.Shared
	for number := range o.Proxies {
		proxy := &Proxy{number: number, play: p, held: map[string]*State{}, refusals: map[string]int{}, services: []int{0}}
		for i := range o.Each {
			proxy.services = append(proxy.services, 1+(number*o.Each+i)%p.watched)
		}
		p.proxies = append(p.proxies, proxy)
		go proxy.Run()
	}
	return p.served(o)
}

// served waits up to `seconds` until every proxy has a stream that has answered; how long it took, and what was sent.
func (p *Play) served(o Order) Answer {
	began := time.Now()
	served := 0
	for deadline := began.Add(time.Duration(o.Seconds * float64(time.Second))); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if served = p.count(func(proxy *Proxy) bool { return !proxy.served.IsZero() }); served == len(p.proxies) {
			break
		}
	}
	answer := Answer{"seconds": time.Since(began).Seconds(), "served": served}
	byAddress := map[string]int{}
	refusals := map[string]int{}
	p.count(func(proxy *Proxy) bool {
		byAddress[proxy.address]++
		for reason, times := range proxy.refusals {
			refusals[reason] += times
		}
		clear(proxy.refusals)
		return true
	})
	answer["by_address"], answer["refusals"] = byAddress, refusals
	return p.totals(answer)
}

func (p *Play) count(which func(*Proxy) bool) (found int) {
	for _, proxy := range p.proxies {
		proxy.mu.Lock()
		if which(proxy) {
			found++
		}
		proxy.mu.Unlock()
	}
	return found
}

// totals adds the updates and bytes since the last time, and takes them back to zero.
func (p *Play) totals(answer Answer) Answer {
	updates, bytes := 0, 0
	p.count(func(proxy *Proxy) bool {
		updates, bytes = updates+proxy.updates, bytes+proxy.bytes
		proxy.updates, proxy.bytes = 0, 0
		return true
	})
	answer["updates"], answer["bytes"] = updates, bytes
	return answer
}

// change makes `per_second` events for `seconds`, of the hot service or of others that are watched, and waits until no
// more updates come; how late they came, in milliseconds.
func (p *Play) change(o Order) Answer {
	p.forget()
	began := time.Now()
	total := int(o.PerSec * o.Seconds)
	for i := range total {
		time.Sleep(time.Until(began.Add(time.Duration(float64(i) / o.PerSec * float64(time.Second)))))
		if o.Hot {
			p.world.Change(0)
		} else {
			p.world.Change(1 + rand.IntN(p.watched))
		}
	}
	p.settle()
	return p.totals(p.latencies(Answer{"events": total}, began))
}

// touch changes the first `number` of the services besides the hot one, each once; how many updates that is worth.
func (p *Play) touch(number int) Answer {
	due := 0
	for n := 1; n <= number; n++ {
		p.world.Change(n)
		for _, proxy := range p.proxies {
			if slices.Contains(proxy.services, n) {
				due++
			}
		}
	}
	return Answer{"due": due}
}

// forget begins a new measurement.
func (p *Play) forget() {
	p.totals(Answer{})
	p.count(func(proxy *Proxy) bool {
		proxy.late, proxy.lastZone = nil, time.Time{}
		return true
	})
}

// settle waits until a second has passed without an update.
func (p *Play) settle() {
	for before, now := -1, 0; before != now; {
		before = now
		time.Sleep(time.Second)
		now = 0
		p.count(func(proxy *Proxy) bool {
			now += proxy.updates
			return true
		})
	}
}

func (p *Play) latencies(answer Answer, began time.Time) Answer {
	var late []time.Duration
	last := began
	p.count(func(proxy *Proxy) bool {
		if proxy.stalled == nil {
			late = append(late, proxy.late...)
		}
		if proxy.lastZone.After(last) {
			last = proxy.lastZone
		}
		return true
	})
	slices.Sort(late)
	ms := func(share float64) float64 {
		if len(late) == 0 {
			return -1
		}
		return float64(late[int(share*float64(len(late)-1))].Microseconds()) / 1000
	}
	answer["p50_ms"], answer["p99_ms"], answer["max_ms"] = ms(0.5), ms(0.99), ms(1)
	answer["seconds"], answer["messages"] = last.Sub(began).Seconds(), len(late)
	return answer
}

// stall makes `number` proxies stop reading.
func (p *Play) stall(number int) Answer {
	for _, proxy := range p.proxies[:number] {
		proxy.mu.Lock()
		proxy.stalled = make(chan struct{})
		proxy.mu.Unlock()
	}
	return Answer{}
}

// readOn lets them read again.
func (p *Play) readOn() Answer {
	p.count(func(proxy *Proxy) bool {
		if proxy.stalled != nil {
			close(proxy.stalled)
			proxy.stalled = nil
		}
		return true
	})
	p.settle()
	return p.totals(Answer{})
}

// compare counts the proxies that hold anything but the truth, which is the own world's unless given.
func (p *Play) compare(truth map[int]string) Answer {
	if p.world != nil {
		truth = map[int]string{}
		for n := range p.watched + 1 {
			truth[n] = p.world.Truth(n)
		}
	}
	stale := 0
	for _, proxy := range p.proxies {
		if proxy.Stale(truth) {
			stale++
		}
	}
	broken := 0
	p.count(func(proxy *Proxy) bool {
		broken += proxy.broken
		return true
	})
	return Answer{"stale": stale, "broken_deltas": broken}
}
