package main

import (
	"fmt"
	"sort"
	"strings"

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

// Update is one message of the stream.
type Update struct {
	target, version, base, service string
	delta                          bool
	endpoints                      map[string]string // by address
	removed                        []string
	zone                           string // of the first endpoint
}

func decode(message []byte) Update {
	all := parse(message)
	u := Update{target: all.text(1), version: all.text(2)}
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

// State is what a proxy holds of a target.
type State struct {
	version, service string
	endpoints        map[string]string
}

// Apply takes an update; false when it is a delta to something else than what is held.
func (s *State) Apply(u Update) bool {
	if !u.delta {
		s.version, s.service, s.endpoints = u.version, u.service, u.endpoints
		return true
	}
	if u.base != s.version {
		return false
	}
	for _, address := range u.removed {
		delete(s.endpoints, address)
	}
	for address, endpoint := range u.endpoints {
		s.endpoints[address] = endpoint
	}
	s.version = u.version
	return true
}

func (s *State) String() string {
	rows := make([]string, 0, len(s.endpoints))
	for _, endpoint := range s.endpoints {
		rows = append(rows, endpoint)
	}
	sortRows(rows)
	return strings.Join(rows, " ")
}
