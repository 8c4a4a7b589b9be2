package main

import (
	"fmt"
	"maps"
	"sort"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of weft.discovery.v1; only what proxies compare here is decoded.
type fields map[protowire.Number][][]byte

// parse splits a message; varints are kept as their bytes.
func parse(message []byte) fields {
	found := fields{}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return found
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			return found
		}
		value := message[:size]
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(message)
		}
		found[number] = append(found[number], value)
		message = message[size:]
	}
	return found
}

func (f fields) bytes(number protowire.Number) []byte {
	if values := f[number]; len(values) > 0 {
		return values[len(values)-1]
	}
	return nil
}

func (f fields) text(number protowire.Number) string { return string(f.bytes(number)) }

func (f fields) number(number protowire.Number) int {
	value, _ := protowire.ConsumeVarint(f.bytes(number))
	return int(value)
}

// Update is one message of the stream: the state that it tells, or of a delta what is new.
type Update struct {
	State
	target, base string
	delta        bool
	removed      []string
	zone         string // of the last endpoint
}

// Decoded are updates by their bytes. Proxies on machines of their own decode what each is told; here all share two
// cores with destination, and most are told the same.
type Decoded struct {
	mu    sync.Mutex
	known map[string]*Update
}

const remembered = 1024

// Update is what a message says.
func (d *Decoded) Update(message []byte) *Update {
	d.mu.Lock()
	defer d.mu.Unlock()
	update := d.known[string(message)]
	if update == nil {
		if len(d.known) >= remembered {
			clear(d.known)
		}
		update = decode(message)
		d.known[string(message)] = update
	}
	return update
}

func decode(message []byte) *Update {
	all := parse(message)
	u := &Update{State: State{version: all.text(2)}, target: all.text(1)}
	switch {
	case all[4] != nil:
		u.fill(parse(all.bytes(4))[1])
	case all[5] != nil:
		delta := parse(all.bytes(5))
		u.delta, u.base = true, delta.text(1)
		u.fill(delta[2])
		for _, address := range delta[3] {
			u.removed = append(u.removed, addressOf(address))
		}
	case all[3] != nil:
		u.service = parse(parse(parse(all.bytes(3)).bytes(1)).bytes(1)).text(2)
	}
	return u
}

func (u *Update) fill(endpoints [][]byte) {
	u.endpoints = make(map[string]string, len(endpoints))
	for _, raw := range endpoints {
		e := parse(raw)
		address := parse(e.bytes(1))
		u.zone = e.text(4)
		u.endpoints[addressOf(e.bytes(1))] = row([4]byte(address.bytes(1)), address.number(2), u.zone, e.text(6))
	}
}

func addressOf(raw []byte) string {
	address := parse(raw)
	return fmt.Sprintf("%x:%d", address.bytes(1), address.number(2))
}

func row(ip [4]byte, port int, zone, pod string) string {
	return fmt.Sprintf("%s:%d/%s/%s", dotted(ip), port, zone, pod)
}

func sortRows(rows []string) { sort.Strings(rows) }

// State is what a proxy holds of a target. It never changes: all that were told the same hold one.
type State struct {
	version, service string
	endpoints        map[string]string
}

// Onto makes of what is held what the update says; false, and what is held, when it is a delta to something else.
func (u *Update) Onto(held *State) (*State, bool) {
	if !u.delta {
		return &u.State, true
	}
	if held == nil || u.base != held.version {
		return held, false
	}
	endpoints := maps.Clone(held.endpoints)
	for _, address := range u.removed {
		delete(endpoints, address)
	}
	maps.Copy(endpoints, u.endpoints)
	return &State{u.version, held.service, endpoints}, true
}

func (s *State) String() string {
	rows := make([]string, 0, len(s.endpoints))
	for _, endpoint := range s.endpoints {
		rows = append(rows, endpoint)
	}
	sortRows(rows)
	return strings.Join(rows, " ")
}
