package s7_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/interop/capture"
	"millrace/s7"
)

var blockTypes = []struct {
	name string
	kind s7.BlockType
}{{"OB", s7.BlockOB}, {"DB", s7.BlockDB}, {"SDB", s7.BlockSDB}, {"FC", s7.BlockFC}, {"SFC", s7.BlockSFC}, {"FB", s7.BlockFB}, {"SFB", s7.BlockSFB}}

func blockType(name string) s7.BlockType {
	for _, t := range blockTypes {
		if t.name == name {
			return t.kind
		}
	}
	return 0
}

// service answers what is not about memory, in the words of the foreign clients.
func (o *ours) service(what string, w []string) string {
	ctx := o.t.Context()
	do := map[string]func(ctx context.Context) error{
		"stop": o.Stop, "hotstart": o.Start, "coldstart": o.ColdStart, "compress": o.Compress, "copyramtorom": o.CopyRAMToROM, "clearpassword": o.ClearPassword,
	}[what]
	if do != nil {
		return done(do(ctx))
	}
	switch what {
	case "order", "cpu", "cp", "status", "protection", "szl":
		return o.lists(ctx, what, w)
	case "counts", "list", "info", "upload", "fullupload", "dbget", "dbfill", "download", "delete":
		return o.blocks(ctx, what, w)
	case "clock":
		t, err := o.ReadClock(ctx)
		return show(err, t.Format("2006-01-02T15:04:05"))
	case "setclock":
		t, err := time.Parse("2006-01-02T15:04:05", w[0])
		if err != nil {
			o.t.Fatal(err)
		}
		return done(o.SetClock(ctx, t))
	case "password":
		return done(o.EnterPassword(ctx, w[0]))
	}
	return "unserved"
}

func done(err error) string { return show(err, "ok") }

func show(err error, s string) string {
	if err != nil {
		return failure(err)
	}
	return s
}

func (o *ours) lists(ctx context.Context, what string, w []string) string {
	switch what {
	case "order":
		all, err := o.Modules(ctx)
		if err != nil || len(all) == 0 {
			return show(err, "nothing")
		}
		v := all[len(all)-1].Version
		return fmt.Sprintf("%s V%d.%d.%d", all[0].Order, v[1], v[2], v[3])
	case "cpu":
		all, err := o.Components(ctx)
		text := map[uint16]string{}
		for _, m := range all {
			text[m.Index] = string(m.Text)
		}
		return show(err, strings.Join([]string{text[s7.ComponentType], text[s7.ComponentSerial], text[s7.ComponentSystem], text[s7.ComponentCopyright],
			text[s7.ComponentModule]}, " | "))
	case "cp":
		m, err := o.Communication(ctx)
		return show(err, fmt.Sprint(m.PDU, m.Connections, m.MPIRate, m.BusRate))
	case "status":
		m, err := o.Mode(ctx)
		return show(err, fmt.Sprint(uint8(m.Mode)))
	case "protection":
		m, err := o.Protection(ctx)
		return show(err, fmt.Sprint(m.Level, m.Parameter, m.Effective, m.Selector, m.Startup))
	}
	var id, index uint16
	if _, err := fmt.Sscanf(strings.Join(w, " "), "%x %x", &id, &index); err != nil {
		o.t.Fatal(err)
	}
	m, err := o.ReadSZL(ctx, id, index)
	return show(err, fmt.Sprintf("%04x%04x%x", m.RecordLen, m.Len(), m.Records))
}

func (o *ours) blocks(ctx context.Context, what string, w []string) string {
	switch what {
	case "counts":
		all, err := o.BlockCounts(ctx)
		n := map[s7.BlockType]uint16{}
		for _, c := range all {
			n[c.Type] = c.Count
		}
		var out []string
		for _, t := range blockTypes {
			out = append(out, fmt.Sprintf("%s=%d", t.name, n[t.kind]))
		}
		return show(err, strings.Join(out, " "))
	case "list":
		all, err := o.BlockList(ctx, blockType(w[0]))
		var out []string
		for _, b := range all {
			out = append(out, fmt.Sprint(b.Number))
		}
		return show(err, strings.Join(out, " "))
	case "info":
		b, err := o.BlockInfo(ctx, blockType(w[0]), uint16(number(w[1])))
		texts := []string{string(b.Author[:]), string(b.Family[:]), string(b.Name[:])}
		for i, s := range texts {
			if texts[i] = strings.Trim(s, " \x00"); texts[i] == "" {
				texts[i] = "-"
			}
		}
		return show(err, fmt.Sprint(b.Number, uint8(b.Language), b.Subtype, b.MC7Len, b.LoadLen, b.LocalLen, b.SSBLen, b.Version)+" "+strings.Join(texts, " "))
	case "upload", "fullupload":
		image, err := o.Upload(ctx, blockType(w[0]), uint16(number(w[1])))
		if err != nil {
			return failure(err)
		}
		if what == "fullupload" {
			return hex.EncodeToString(image)
		}
		var b s7.Block
		if code := b.Decode(image); code != 0 {
			return fmt.Sprintf("!(%v)", code)
		}
		return hex.EncodeToString(b.Body)
	case "download":
		image, err := hex.DecodeString(w[1])
		if err != nil {
			o.t.Fatal(err)
		}
		return done(o.Download(ctx, s7.BlockDB, uint16(number(w[0])), image))
	case "delete":
		return done(o.DeleteBlock(ctx, blockType(w[0]), uint16(number(w[1]))))
	}
	return o.wholeDB(ctx, what, w)
}

// wholeDB reads or fills a DB whose size it asks for first.
func (o *ours) wholeDB(ctx context.Context, what string, w []string) string {
	n := uint16(number(w[0]))
	b, err := o.BlockInfo(ctx, s7.BlockDB, n)
	if err != nil {
		return failure(err)
	}
	if what == "dbget" {
		return o.ask(fmt.Sprintf("read DB %d 0 BYTE %d", n, b.MC7Len))
	}
	return o.ask(fmt.Sprintf("write DB %d 0 BYTE %d %s", n, b.MC7Len, strings.Repeat(w[1], int(b.MC7Len))))
}

// TestServicesByOurClient asks foreign servers everything but memory. Where there is no model of what they answer, a foreign client is asked the same.
func TestServicesByOurClient(t *testing.T) {
	run := func(name string, start func(t *testing.T) string, lines func(t *testing.T, addr string) []exchange) {
		t.Run(name, func(t *testing.T) {
			addr := start(t)
			proxy := capture.NewProxy(t, addr)
			a := ourClient(t, proxy.Addr, s7.Config{})
			n := converse(t, a, lines(t, addr), oursSees)
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			t.Logf("compared: %d answers, %d frames dissected", n, dissect(t, proxy))
		})
	}
	run("ours", func(t *testing.T) string {
		return ourServer(t, s7.ServerConfig{Handler: newCPU(t, s7.CPUConfig{Programming: true})})
	}, func(*testing.T, string) []exchange { return append(append(services(), clocks()...), programs()...) })
	run("node-snap7", snap7Server, func(t *testing.T, addr string) []exchange {
		return foreign(snap7Client.connect(t, addr, 480), "order", "cpu", "cp", "status", "protection", "szl 0011 0000", "szl 001C 0000", "szl 0000 0000", "counts",
			"list DB", "info DB 1", "info DB 3", "dbfill 3 bb", "dbget 3", "upload DB 3", "clock", "password secret", "clearpassword", "stop", "status", "hotstart",
			"status", "coldstart", "copyramtorom", "compress")
	})
	// python-snap7's lists have records of other lengths than those of PLCs.
	run("python-snap7", pythonServer, func(t *testing.T, addr string) []exchange {
		return foreign(pythonClient.connect(t, addr, 480), "counts", "list DB", "dbget 3", "clock", "stop", "hotstart", "coldstart", "copyramtorom", "compress")
	})
}

// oursSees: a list without blocks is no error to our client.
func oursSees(_, answer string) string {
	if answer == "!D20E" {
		return ""
	}
	return answer
}

// foreign has a foreign client say what is expected.
func foreign(p *peer, lines ...string) []exchange {
	var out []exchange
	for _, line := range lines {
		out = append(out, exchange{line, p.ask(line)})
	}
	return out
}
