package opcua

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"

	"millrace/opcua/ua"
)

// numbered returns nodes of a fake server, from to to-1.
func numbered(from, to int) []ua.ReadValueId {
	ids := make([]ua.ReadValueId, to-from)
	for i := range ids {
		ids[i].NodeId = ua.NumericId(1, uint32(from+i))
	}
	return ids
}

// truth checks that into has the values of numbered nodes from first on.
func truth(t *testing.T, into []ua.DataValue, first int) {
	t.Helper()
	for i := range into {
		if v, ok := into[i].Value.Float64(); !ok || v != float64(first+i) || into[i].Status != 0 {
			t.Fatalf("value %d is %v", i, into[i])
		}
	}
}

func TestClientReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFake(t)
		c := s.client(s.config())
		for _, n := range []int{1, 2, 999, 1000, 1001, 2500} {
			into := make([]ua.DataValue, n)
			if err := c.Read(t.Context(), NewReadPlan(numbered(5, 5+n), ReadOptions{}), into); err != nil {
				t.Fatal(n, err)
			}
			truth(t, into, 5)
		}
		if got := c.Namespaces(); len(got) != 2 || got[1] != "urn:fake" {
			t.Errorf("namespaces %q", got)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Err(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestClientReadsFewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFake(t)
		reads := 0
		s.answer = func(_ *fakeConn, r *fakeRequest) bool {
			if r.service == ServiceRead {
				reads++
			}
			return false
		}
		c := s.client(s.config())
		before := reads
		into := make([]ua.DataValue, 10)
		if err := c.Read(t.Context(), NewReadPlan(numbered(5, 15), ReadOptions{Most: 3}), into); err != nil {
			t.Fatal(err)
		}
		truth(t, into, 5)
		if reads-before != 4 {
			t.Errorf("%d requests for 10 nodes, 3 at most in one", reads-before)
		}
	})
}

func TestClientReadsEachNodeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFake(t)
		c := s.client(s.config())
		seen := make([]int, 3000)
		err := c.ReadEach(t.Context(), NewReadPlan(numbered(0, len(seen)), ReadOptions{}), func(i int, v *ua.DataValue) {
			seen[i]++
			if x, _ := v.Value.Float64(); x != float64(i) {
				t.Errorf("node %d is %v", i, v)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range seen {
			if n != 1 {
				t.Fatalf("node %d came %d times", i, n)
			}
		}
	})
}

func TestClientDialErrorsSayHowFar(t *testing.T) {
	for _, x := range []struct {
		stage  Stage
		answer func(f *fakeConn, r *fakeRequest) bool
		conn   func(f *fakeConn)
	}{
		{StageHello, nil, func(f *fakeConn) { _ = f.conn.Close() }},
		{StageDiscover, func(f *fakeConn, r *fakeRequest) bool { _ = f.conn.Close(); return true }, nil},
		{StageChoose, func(f *fakeConn, r *fakeRequest) bool { f.reply(r, &ua.GetEndpointsResponse{}); return true }, nil},
		{StageCreate, func(f *fakeConn, r *fakeRequest) bool {
			if r.service == ServiceCreateSession {
				f.fault(r, ua.BadTooManySessions)
			}
			return r.service == ServiceCreateSession
		}, nil},
		{StageActivate, func(f *fakeConn, r *fakeRequest) bool {
			if r.service == ServiceActivateSession {
				f.fault(r, ua.BadIdentityTokenRejected)
			}
			return r.service == ServiceActivateSession
		}, nil},
		{StageLimits, func(f *fakeConn, r *fakeRequest) bool {
			if r.service == ServiceRead {
				_ = f.conn.Close()
			}
			return r.service == ServiceRead
		}, nil},
	} {
		t.Run(x.stage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFake(t)
				s.answer, s.connected = x.answer, x.conn
				_, err := Dial(t.Context(), fakeURL, s.config())
				var e *DialError
				if !errors.As(err, &e) || e.Stage != x.stage {
					t.Fatalf("error %v", err)
				}
				if want := x.stage != StageChoose && x.stage != StageActivate; e.Retryable() != want {
					t.Errorf("%v: retryable is %v", err, !want)
				}
			})
		})
	}
}

func TestClientLearnsHowManyNodesGoIntoARequest(t *testing.T) {
	for _, status := range []ua.StatusCode{ua.BadTooManyOperations, ua.BadEncodingLimitsExceeded, ua.BadResponseTooLarge} {
		t.Run(status.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFake(t)
				s.answer = func(f *fakeConn, r *fakeRequest) bool {
					m, ok := r.m.(*ua.ReadRequest)
					if !ok || len(m.NodesToRead) <= 70 {
						return false
					}
					f.fault(r, status)
					return true
				}
				var learned []int
				cfg := s.config()
				cfg.Hooks.Learned = func(s Service, n int) { learned = append(learned, n) }
				c := s.client(cfg)
				into := make([]ua.DataValue, 500)
				if err := c.Read(t.Context(), NewReadPlan(numbered(0, 500), ReadOptions{}), into); err != nil {
					t.Fatal(err)
				}
				truth(t, into, 0)
				if got := fmt.Sprint(learned); got != "[250 125 62]" || c.Learned().Operations.Read != 62 {
					t.Errorf("learned %v", got)
				}
				before := s.times(ServiceRead)
				if err := c.Read(t.Context(), NewReadPlan(numbered(0, 500), ReadOptions{}), into); err != nil {
					t.Fatal(err)
				}
				if n := s.times(ServiceRead) - before; n != 9 {
					t.Errorf("%d requests for 500 nodes", n)
				}
			})
		})
	}
}

// A node over which the server stumbles costs that node alone.
func TestClientOneBadNodeCostsOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFake(t)
		s.answer = func(f *fakeConn, r *fakeRequest) bool {
			m, ok := r.m.(*ua.ReadRequest)
			if !ok {
				return false
			}
			for _, n := range m.NodesToRead {
				if n.NodeId == ua.NumericId(1, 77) {
					f.fault(r, ua.BadInternalError)
					return true
				}
			}
			return false
		}
		c := s.client(s.config())
		into := make([]ua.DataValue, 200)
		err := c.Read(t.Context(), NewReadPlan(numbered(0, 200), ReadOptions{}), into)
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, ua.BadInternalError) || e.Operations != 1 {
			t.Fatalf("error %v", err)
		}
		truth(t, into[:77], 0)
		truth(t, into[78:], 78)
		if into[77].Status != ua.BadInternalError {
			t.Errorf("the bad node is %v", into[77])
		}
	})
}
