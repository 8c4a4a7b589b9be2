package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	port  = 8080
	fence = "\x18\x90\x3f" // Target{inbound: 8080}: asked without a version, so always answered, and last
	acked = 16 * 1024
)

var errEnded = errors.New("the stream ended")

// Proxy plays one proxy: a connection and a stream of its own, opened again with jitter as proxies do.
type Proxy struct {
	number   int
	services []int
	play     *Play

	mu       sync.Mutex
	held     map[string]*State
	late     []time.Duration
	updates  int // all but the fence's
	bytes    int
	served   time.Time // when the fence was answered; zero while there is no stream
	address  string
	stalled  chan struct{} // while not nil, nothing is read until it is closed
	lastZone time.Time
	broken   int            // deltas to what is not held
	refusals map[string]int // how often a stream or an attempt ended, by reason
}

// Run keeps a stream open until the process ends. The pauses are those of weft-proxy.
func (p *Proxy) Run() {
	pause := 200 * time.Millisecond
	for {
		began := time.Now()
		err := p.stream()
		p.mu.Lock()
		p.served = time.Time{}
		p.refusals[reason(err)]++
		p.mu.Unlock()
		if time.Since(began) > 10*time.Second {
			pause = 200 * time.Millisecond
		}
		time.Sleep(time.Duration(float64(pause) * (0.5 + rand.Float64()/2)))
		pause = min(2*pause, 10*time.Second)
	}
}

// reason is an error without the ports, which are different each time.
func reason(err error) string {
	var refused *net.OpError
	if errors.As(err, &refused) {
		return refused.Op + ": " + refused.Err.Error()
	}
	return err.Error()
}

func (p *Proxy) stream() error {
	address := p.play.Address()
	connection, err := net.DialTimeout("tcp", address, 3*time.Second)
	if err != nil {
		return err
	}
	defer connection.Close()
	p.mu.Lock()
	p.address = address
	p.mu.Unlock()
	out := bufio.NewWriterSize(connection, 4096)
	framer := http2.NewFramer(out, bufio.NewReaderSize(connection, 4096))
	framer.SetReuseFrames()
	out.WriteString(http2.ClientPreface)
	framer.WriteSettings()
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.headers(), EndHeaders: true})
	framer.WriteData(1, false, p.requests())
	if err := out.Flush(); err != nil {
		return err
	}
	return p.read(framer, out)
}

// headers are those that destination's own proxy sends on: each proxy has an address of its own.
func (p *Proxy) headers() []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/weft.discovery.v1.Discovery/Subscribe"},
		{":authority", "destination"}, {"te", "trailers"}, {"content-type", "application/grpc"},
		{"weft-client-id", "spiffe://cluster.local/ns/load/sa/load"},
		{"weft-client-address", fmt.Sprintf("198.19.%d.%d", p.number>>8, p.number&255)},
	} {
		encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	return block.Bytes()
}

func (p *Proxy) requests() []byte {
	hello := field(nil, 1, "load")
	hello = field(hello, 2, fmt.Sprintf("proxy-%d", p.number))
	hello = protowire.AppendVarint(protowire.AppendTag(hello, 7, protowire.VarintType), 1) // heartbeats
	all := message(nil, field(nil, 1, string(hello)))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.services {
		for _, target := range p.targets(n) {
			watch := field(nil, 1, target)
			if state := p.held[target]; state != nil {
				watch = field(watch, 2, state.version)
			}
			all = message(all, field(nil, 2, string(watch)))
		}
	}
	return message(all, field(nil, 2, string(field(nil, 1, fence))))
}

// targets of a service: its address and its endpoints; of a real cluster's the address is not known here.
func (p *Proxy) targets(n int) []string {
	if p.play.world == nil {
		return []string{endpointsTarget(n)}
	}
	return []string{outboundTarget(n), endpointsTarget(n)}
}

func outboundTarget(n int) string {
	ip := serviceIP(n)
	address := field(nil, 1, string(ip[:]))
	address = protowire.AppendVarint(protowire.AppendTag(address, 2, protowire.VarintType), 80)
	return string(field(nil, 1, string(address)))
}

func endpointsTarget(n int) string {
	service := field(field(nil, 1, namespace), 2, serviceName(n))
	service = protowire.AppendVarint(protowire.AppendTag(service, 3, protowire.VarintType), 80)
	return string(field(nil, 2, string(service)))
}

func field(to []byte, number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(to, number, protowire.BytesType), value)
}

func message(to, body []byte) []byte {
	to = append(to, 0)
	to = binary.BigEndian.AppendUint32(to, uint32(len(body)))
	return append(to, body...)
}

func (p *Proxy) read(framer *http2.Framer, out *bufio.Writer) error {
	var pending []byte
	unacked := 0
	for {
		p.wait()
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case *http2.DataFrame:
			unacked += int(frame.Length)
			data := frame.Data()
			if len(pending) > 0 {
				data = append(pending, data...)
			}
			pending = append(pending[:0], p.take(data)...)
			if unacked < acked {
				continue
			}
			framer.WriteWindowUpdate(0, uint32(unacked))
			framer.WriteWindowUpdate(1, uint32(unacked))
			unacked = 0
		case *http2.PingFrame:
			if !frame.IsAck() {
				framer.WritePing(true, frame.Data)
			}
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				framer.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			if frame.StreamEnded() {
				return fmt.Errorf("%w: %s", errEnded, trailers(frame))
			}
		case *http2.RSTStreamFrame:
			return errEnded
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

func trailers(frame *http2.HeadersFrame) string {
	all, _ := hpack.NewDecoder(4096, nil).DecodeFull(frame.HeaderBlockFragment())
	var found []string
	for _, field := range all {
		if strings.HasPrefix(field.Name, "grpc-") {
			found = append(found, field.Value)
		}
	}
	return strings.Join(found, " ")
}

// take handles every whole message and returns the rest.
func (p *Proxy) take(data []byte) []byte {
	for len(data) >= 5 {
		end := 5 + int(binary.BigEndian.Uint32(data[1:]))
		if len(data) < end {
			break
		}
		p.update(p.play.decoded.Update(data[5:end]), end, time.Now())
		data = data[end:]
	}
	return data
}

func (p *Proxy) update(u *Update, size int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += size
	if u.target == "" {
		return // a heartbeat
	}
	if u.target == fence {
		p.served = now
		return
	}
	p.updates++
	state, ok := u.Onto(p.held[u.target])
	p.held[u.target] = state
	if !ok {
		p.broken++
	}
	if micros, found := strings.CutPrefix(u.zone, "t"); found && !p.served.IsZero() {
		at, _ := strconv.ParseInt(micros, 10, 64)
		p.late = append(p.late, now.Sub(time.UnixMicro(at)))
		p.lastZone = now
	}
}

func (p *Proxy) wait() {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

// Stale tells whether what is held differs from the truth.
func (p *Proxy) Stale(truth map[int]string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.services {
		endpoints, outbound := p.held[endpointsTarget(n)], p.held[outboundTarget(n)]
		if endpoints == nil || endpoints.String() != truth[n] {
			return true
		}
		if p.play.world != nil && (outbound == nil || outbound.service != serviceName(n)) {
			return true
		}
	}
	return false
}
