package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	peer "github.com/gopcua/opcua/ua"

	"millrace/opcua/ua"
)

const uaValues = 1000 // of a message, and of a server

// benchOPCUACodec encodes and decodes a ReadResponse of 1,000 Doubles with source time, in this process.
func benchOPCUACodec(_ context.Context, w io.Writer, set settings) error {
	ours := doubles()
	body := ours.AppendTo(nil)
	theirs := new(peer.ReadResponse)
	if _, err := peer.Decode(body, theirs); err != nil {
		return fmt.Errorf("gopcua: %w", err)
	}
	buf := make([]byte, 0, len(body))
	err := codecTable(w, "OPC UA codec, encode a ReadResponse of 1,000 Doubles with source time", set, []codecRun{
		{"millrace", "10000, 0 al.", "16000 open62541", func() error { buf = ours.AppendTo(buf[:0]); return nil }},
		{"gopcua", "", "", func() error { _, err := peer.Encode(theirs); return err }},
	})
	if err != nil {
		return err
	}
	var kept ua.ReadResponse
	return codecTable(w, "OPC UA codec, decode the same", set, []codecRun{
		{"millrace, and make 80 kB for it", "", "91000 open62541", func() error { return decode(body, new(ua.ReadResponse), false) }},
		{"millrace, into the message before", "15000, 2 al.", "91000 open62541", func() error { return decode(body, &kept, true) }},
		{"millrace, value by value", "15000, 2 al.", "91000 open62541", func() error { return walk(body) }},
		{"gopcua", "", "", func() error { _, err := peer.Decode(body, new(peer.ReadResponse)); return err }},
	})
}

func doubles() *ua.ReadResponse {
	m := &ua.ReadResponse{ResponseHeader: ua.ResponseHeader{Timestamp: 133e15, RequestHandle: 7}, Results: make([]ua.DataValue, uaValues)}
	for i := range m.Results {
		m.Results[i] = ua.DataValue{Value: ua.Double(float64(i)), SourceTimestamp: 133e15, Has: ua.HasValue | ua.HasSourceTimestamp}
	}
	return m
}

func decode(b []byte, m *ua.ReadResponse, reuse bool) error {
	d := ua.NewDecoder(b, ua.Limits{})
	d.Reuse = reuse
	m.DecodeFrom(&d)
	if err := d.Done(); err != nil || len(m.Results) != uaValues {
		return fmt.Errorf("%w: %d results, %v", errWrong, len(m.Results), err)
	}
	return nil
}

func walk(b []byte) error {
	d := ua.NewDecoder(b, ua.Limits{})
	var h ua.ResponseHeader
	h.DecodeFrom(&d)
	var values ua.ReadResponseWalk
	var v ua.DataValue
	n := 0
	for values.Start(&d); values.Next(&d, &v); n++ {
	}
	values.End(&d)
	if err := d.Done(); err != nil || n != uaValues {
		return fmt.Errorf("%w: %d results, %v", errWrong, n, err)
	}
	return nil
}

// codecRun is one contestant.
type codecRun struct {
	name, target, best string
	once               func() error
}

// codecTable has the contestants take turns, for as long each as a run is.
func codecTable(w io.Writer, title string, set settings, runs []codecRun) error {
	all := make([]*figure, len(runs))
	for i, c := range runs {
		all[i] = &figure{name: c.name, target: c.target, best: c.best}
	}
	for r := range set.rounds {
		for i := range runs {
			at := (i + r) % len(runs)
			ns, allocs, err := repeat(runs[at].once, set.each/4)
			if err != nil {
				return fmt.Errorf("%s: %w", runs[at].name, err)
			}
			all[at].values, all[at].notes = append(all[at].values, ns), []string{fmt.Sprintf("%.0f allocations", allocs)}
		}
	}
	printFigures(w, title, "ns/message", all)
	return nil
}

// repeat returns the CPU time and the allocations of one call of f.
func repeat(f func() error, d time.Duration) (ns, allocs float64, err error) {
	if err := f(); err != nil {
		return 0, 0, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	from, n := ownCPU(), 0
	for until := time.Now().Add(d); time.Now().Before(until); n++ {
		if err := f(); err != nil {
			return 0, 0, err
		}
	}
	spent := ownCPU() - from
	runtime.ReadMemStats(&after)
	return float64(spent.Nanoseconds()) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n), nil
}
