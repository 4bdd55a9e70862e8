package uasc

import (
	"net"
	"sync"
	"testing"
	"time"
)

// owner is a connection as client and server have one: a goroutine reads, others send one at a time.
type owner struct {
	t    *testing.T
	c    *Channel
	conn net.Conn
	role sync.Mutex // the sender's
	out  []byte
}

func (o *owner) send(request uint32, body []byte) {
	o.role.Lock()
	defer o.role.Unlock()
	b, err := o.c.End(append(o.c.Begin(o.out[:0], request), body...), 0, KindMessage, time.Now())
	if err != nil {
		o.t.Error(err)
	}
	o.out = b
	o.write(b)
}

func (o *owner) write(b []byte) {
	if _, err := o.conn.Write(b); err != nil {
		o.t.Error(err)
	}
}

// read hands messages to f until the connection ends.
func (o *owner) read(f func(Message)) {
	buf, chunk := []byte(nil), make([]byte, 1000)
	for {
		n, err := o.conn.Read(chunk)
		if err != nil {
			return
		}
		buf = append(buf, chunk[:n]...)
		for {
			used, m, err := o.c.Next(buf, time.Now())
			if err != nil {
				o.t.Error(err)
				return
			}
			buf = buf[used:]
			if m.Kind == 0 {
				break
			}
			f(m)
		}
	}
}

// Reader and sender of both sides run at the same time, and tokens are renewed under them. Under -race this says whether what they share is safe.
func TestReaderAndSenderNeedNoLock(t *testing.T) {
	const messages, renewals = 300, 20
	p := newPair(t, pairConfig{security: allSecurity[4]})
	p.now = time.Now()
	p.open(0)
	left, right := net.Pipe()
	client, server := &owner{t: t, c: p.client, conn: left}, &owner{t: t, c: p.server, conn: right}
	var readers, senders sync.WaitGroup
	var got [2]int
	renewed := make(chan struct{}, 1)
	readers.Go(func() {
		client.read(func(m Message) {
			if m.Kind == KindOpen {
				if _, err := p.client.Opened(m, time.Now()); err != nil {
					t.Error(err)
				}
				renewed <- struct{}{}
				return
			}
			got[0]++
		})
	})
	readers.Go(func() {
		server.read(func(m Message) {
			if m.Kind == KindOpen {
				server.role.Lock()
				defer server.role.Unlock()
				b, _, err := p.server.AcceptOpen(nil, m, time.Now())
				if err != nil {
					t.Error(err)
				}
				server.write(b)
				return
			}
			got[1]++
		})
	})
	for i := range messages {
		senders.Go(func() { client.send(uint32(i), make([]byte, 100*i)) })
		senders.Go(func() { server.send(uint32(i), make([]byte, 100*i)) })
	}
	for range renewals {
		client.role.Lock()
		b, err := p.client.AppendOpen(nil, 9, true, time.Minute, time.Now())
		if err != nil {
			t.Error(err)
		}
		client.write(b)
		client.role.Unlock()
		<-renewed
	}
	senders.Wait()
	left.Close()
	readers.Wait()
	if got != [2]int{messages, messages} {
		t.Errorf("%v messages came", got)
	}
}

func TestReverseConnect(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[0]})
	client, err := NewClient(ClientConfig{Security: allSecurity[0], Reverse: true})
	if err != nil {
		t.Fatal(err)
	}
	p.client = client
	m := p.one(client, AppendReverseHello(nil, ReverseHello{ServerURI: "urn:server", EndpointURL: "opc.tcp://plc:4840"}))
	r, err := DecodeReverseHello(m.Body)
	if err != nil || m.Kind != KindReverseHello || r.ServerURI != "urn:server" || r.EndpointURL != "opc.tcp://plc:4840" {
		t.Fatalf("%+v, %v", r, err)
	}
	p.open(0)
	p.send(p.client, p.server, 1, []byte("hello"))
	// Without Reverse it may not come, and with it nothing else.
	other := newPair(t, pairConfig{security: allSecurity[0]})
	if _, _, err := other.client.Next(AppendReverseHello(nil, r), p.now); err == nil {
		t.Error("a RHE is taken by who did not wait for it")
	}
	client, err = NewClient(ClientConfig{Security: allSecurity[0], Reverse: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.Next(AppendAcknowledge(nil, Acknowledge{Transport: Transport{8192, 8192, 0, 0}}), p.now); err == nil {
		t.Error("an ACK is taken in place of a RHE")
	}
}
