package s7

import (
	"errors"
	"testing"

	"millrace/internal/listen/listentest"
)

// FuzzServices: the first byte selects what the CPU allows, the rest are PDUs of Jobs, answers and Userdata, each behind two bytes of its length.
// All are sent to a server behind a handshake, with a read behind them. What comes is frames that fit the granted PDU, up to the answer to the
// read, or up to the end of the connection.
func FuzzServices(f *testing.F) {
	for _, x := range badServices() {
		f.Add(append([]byte{0}, sized(unhex(x.ask))...))
	}
	for _, g := range goldenMessages {
		f.Add(append([]byte{7}, sized(g.msg.AppendTo(nil, 1))...))
	}
	block := NewDataBlock(5, []byte{1})
	image := block.AppendTo(nil)
	file := BlockFile{BlockDB, 5, FilePassive}
	var load []byte
	for ref, m := range []encoder{&DownloadRequest{file, uint32(len(image)), 1}, &Slice{Function: FuncDownloadBlock, Data: image}, &Done{FuncDownloadEnded}, insert(file)} {
		load = append(load, sized(m.AppendTo(nil, uint16(ref)))...)
	}
	f.Add(append([]byte{1}, load...))
	var servers [4]*listentest.Pipes
	for i := range servers {
		servers[i] = listentest.NewPipes()
		cpu := testCPU(f, CPUConfig{Level: uint8(1 + i%3), Password: "pa", Programming: true})
		serveOn(f, ServerConfig{Handler: &mailbox{cpu, map[uint32][]byte{}}}, servers[i])
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		const granted = 240
		k := talkOver(t, servers[int(in[0])%len(servers)].Dial(), granted)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			k.Conn.Write(append(framesOf(in[1:], granted), unhex(askAlive)...)) // the server may have hung up
		}()
		answers := fuzzAnswers(t, k, granted)
		k.Close()
		<-sent
		if answers > 1<<10 {
			t.Errorf("%d answers to %d bytes", answers, len(in))
		}
	})
}

func sized(pdu []byte) []byte { return append([]byte{byte(len(pdu) >> 8), byte(len(pdu))}, pdu...) }

// framesOf frames the PDUs in b that are not too long.
func framesOf(b []byte, most int) (frames []byte) {
	for len(b) >= 2 {
		n := int(b[0])<<8 | int(b[1])
		b = b[2:]
		if n > len(b) || n > most {
			break
		}
		frames = append(frames, frameOf(b[:n])...)
		b = b[n:]
	}
	return frames
}

// fuzzAnswers takes what comes up to the answer to the read, or the end.
func fuzzAnswers(t *testing.T, k *talk, granted int) (n int) {
	t.Helper()
	b := make([]byte, 4096)
	for {
		m, used, err := k.stream.Next(k.buf)
		var bad *FrameError
		if errors.As(err, &bad) {
			t.Fatal(err)
		}
		k.buf = k.buf[used:]
		if p := &m.PDU; m.Code == TPDUData {
			n++
			if size := p.Kind.headerBytes() + len(p.Param) + len(p.Data); size > granted {
				t.Fatalf("an answer of %d bytes", size)
			}
			if p.Ref == 0x7777 && p.Function() == FuncRead {
				return n
			}
		}
		if used > 0 {
			continue
		}
		got, err := k.Conn.Read(b)
		if err != nil {
			return n
		}
		k.buf = append(k.buf, b[:got]...)
	}
}
