package device

import (
	"testing"
	"testing/synctest"
	"time"
)

// A connection is looked at every five seconds, every second while its device fails, and anew when it is another one.
func TestTCPInfoIsSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.plc(1).tcp = &TCPInfo{RTT: time.Millisecond, Segments: 100}
		b.apply(b.spec(1, time.Second, 1))
		b.run()
		time.Sleep(time.Minute)
		b.plc(1).change(func(p *plc) {
			if p.looks < 11 || p.looks > 14 {
				t.Errorf("%d looks in a minute", p.looks)
			}
			p.looks = 0
			p.tcp = &TCPInfo{RTT: 3 * time.Millisecond, Segments: 200, Retransmits: 25}
		})
		time.Sleep(6 * time.Second)
		st := b.status("d0001").TCP
		if st.RTT != 3*time.Millisecond || st.Sent != 100 || st.Resent != 25 || st.Loss() != 0.25 || time.Since(st.At) > tcpEvery+time.Second {
			t.Errorf("%+v", st)
		}
		if s := b.Stats(); s.Segments != 200 || s.Resent != 25 {
			t.Errorf("%d segments, %d again", s.Segments, s.Resent)
		}
		time.Sleep(2 * tcpWindow)
		if st := b.status("d0001").TCP; st.Resent != 0 || st.Loss() != 0 || st.Window < tcpWindow || st.Window > 2*tcpWindow+tcpEvery {
			t.Errorf("when the window has passed: %+v", st)
		}
		b.plc(1).change(func(p *plc) { p.looks, p.tcp = 0, &TCPInfo{Segments: 201, Backoff: 2, Unacked: 1} })
		time.Sleep(20 * time.Second)
		b.plc(1).change(func(p *plc) {
			if p.looks < 15 {
				t.Errorf("%d looks at a connection whose segments wait", p.looks)
			}
			p.tcp = &TCPInfo{Segments: 5}
		})
		b.plc(1).set(hangsUp)
		time.Sleep(10 * time.Second)
		if st := b.status("d0001").TCP; st.Segments != 5 || st.Sent != 0 || st.Backoff != 0 {
			t.Errorf("of the connection after that: %+v", st)
		}
		b.quit()
	})
}

// What a session does not tell is not known, and no error.
func TestTCPInfoThatIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 1))
		b.run()
		time.Sleep(10 * time.Second)
		if st := b.status("d0001").TCP; !st.At.IsZero() {
			t.Errorf("%+v", st)
		}
		b.quit()
	})
}
