package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/robinson/gos7"

	"millrace/s7"
)

// reals are all of DB 1, read as REALs: a request is as many of them as a PDU holds.
const (
	dbSize = 8192
	reals  = dbSize / 4
)

var (
	s7Clients = contest{
		title: fmt.Sprintf("S7 client, %d bytes, one connection, one request at a time", readBytes), unit: "requests", per: 1,
		names: []string{"millrace-s7", "gos7", "snap7"}, server: "millrace-s7", start: startS7Client,
	}
	s7Tags = contest{
		title: fmt.Sprintf("S7 client, %d REALs side by side, read as one variable and as so many, decoded, one connection", reals), unit: "tags", per: reals,
		names: []string{"millrace-s7-tags", "millrace-s7-each", "gos7-tags"}, server: "millrace-s7", start: startClient,
	}
)

func startS7Client(ctx context.Context, name, addr, seconds string) (*child, error) {
	if name != "snap7" {
		return startClient(ctx, name, addr, seconds)
	}
	bin, err := snap7(ctx, "client")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return start(ctx, bin, port, seconds)
}

// millraceS7Client reads as the gateway's driver does: one plan, its buffers used again.
func millraceS7Client(ctx context.Context, addr string) (func() error, error) {
	read, vars, err := planned(ctx, addr, []s7.Item{s7.Bytes(s7.AreaDB, 1, 0, readBytes)})
	return func() error {
		if err := read(); err != nil {
			return err
		}
		if d := vars[0].Data; len(d) != readBytes || d[readBytes-1] != readBytes-1 {
			return errors.Join(errWrong, vars[0].Err)
		}
		return vars[0].Err
	}, err
}

// millraceS7Tags reads all REALs in one variable, as the gateway's driver merges neighbours, and decodes each.
func millraceS7Tags(ctx context.Context, addr string) (func() error, error) {
	return tagReader(ctx, addr, []s7.Item{realItem(0, reals)})
}

// millraceS7Each reads each REAL as a variable of its own, as tags that have no neighbours.
func millraceS7Each(ctx context.Context, addr string) (func() error, error) {
	items := make([]s7.Item, reals)
	for i := range items {
		items[i] = realItem(i, 1)
	}
	return tagReader(ctx, addr, items)
}

// realItem is n REALs from the one numbered at on.
func realItem(at, n int) s7.Item {
	return s7.Item{Syntax: s7.SyntaxAny, Size: s7.SizeReal, Count: uint16(n), DB: 1, Area: s7.AreaDB, Address: uint32(4*at) << 3}
}

func tagReader(ctx context.Context, addr string, items []s7.Item) (func() error, error) {
	read, vars, err := planned(ctx, addr, items)
	values, want := make([]float64, 0, reals), lastReal()
	return func() error {
		if err := read(); err != nil {
			return err
		}
		values = values[:0]
		for i := range vars {
			for d := vars[i].Data; len(d) > 0; d = d[4:] {
				v, err := s7.TypeReal.Float(d[:4])
				if err != nil {
					return err
				}
				values = append(values, v)
			}
		}
		if len(values) != reals || values[reals-1] != want {
			return errWrong
		}
		return nil
	}, err
}

func planned(ctx context.Context, addr string, items []s7.Item) (read func() error, vars []s7.Var, err error) {
	c, err := s7.Dial(ctx, addr, s7.Config{Slot: 2})
	if err != nil {
		return nil, nil, err
	}
	plan, err := s7.PlanRead(items, c.Limits())
	if err != nil {
		return nil, nil, err
	}
	vars = make([]s7.Var, len(items))
	for i := range vars {
		vars[i] = s7.Var{Item: items[i], Data: make([]byte, 0, items[i].Len())}
	}
	return func() error {
		for i := range vars {
			vars[i].Data = vars[i].Data[:0]
		}
		return c.ReadPlan(ctx, plan, vars)
	}, vars, nil
}

// lastReal is what the last REAL of DB 1 is.
func lastReal() float64 {
	d := dbBytes(dbSize)[dbSize-4:]
	return float64(math.Float32frombits(uint32(d[0])<<24 | uint32(d[1])<<16 | uint32(d[2])<<8 | uint32(d[3])))
}

func dialGos7(addr string) (gos7.Client, error) {
	h := gos7.NewTCPClientHandler(addr, 0, 2)
	h.Timeout = 5 * time.Second
	return gos7.NewClient(h), h.Connect()
}

func gos7Client(_ context.Context, addr string) (func() error, error) {
	c, err := dialGos7(addr)
	data := make([]byte, readBytes)
	return func() error {
		err := c.AGReadDB(1, 0, readBytes, data)
		if err == nil && data[readBytes-1] != readBytes-1 {
			err = errWrong
		}
		return err
	}, err
}

func gos7Tags(_ context.Context, addr string) (func() error, error) {
	c, err := dialGos7(addr)
	data, values, want := make([]byte, dbSize), make([]float64, reals), lastReal()
	var h gos7.Helper
	return func() error {
		if err := c.AGReadDB(1, 0, dbSize, data); err != nil {
			return err
		}
		for i := range values {
			values[i] = float64(h.GetRealAt(data, 4*i))
		}
		if values[reals-1] != want {
			return errWrong
		}
		return nil
	}, err
}
