package opcua

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// silent leaves requests of a service without an answer.
func silent(x Service) func(f *fakeConn, r *fakeRequest) bool {
	return func(f *fakeConn, r *fakeRequest) bool { return r.service == x }
}

func readOne(c *Client, ctx context.Context) error {
	into := make([]ua.DataValue, 1)
	return c.Read(ctx, NewReadPlan(numbered(1, 2), ReadOptions{}), into)
}

func TestClientTimesOut(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		var timedOut, late []time.Duration
		cfg := s.config()
		cfg.Hooks.TimedOut = func(d time.Duration) { timedOut = append(timedOut, d) }
		cfg.Hooks.Late = func(d time.Duration) { late = append(late, d) }
		c := s.client(cfg)
		var held *fakeRequest
		var conn *fakeConn
		s.answer = func(f *fakeConn, r *fakeRequest) bool { held, conn = r, f; return r.service == ServiceRead }
		begun := time.Now()
		err := readOne(c, t.Context())
		var e *Error
		if !errors.As(err, &e) || !e.Timeout() || e.Status != ua.BadTimeout || e.Answered || !e.Sent || !e.Retryable() || time.Since(begun) != time.Second {
			t.Fatalf("after %v: %v", time.Since(begun), err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		conn.truth(held)
		synctest.Wait()
		st := c.Stats()
		if st.TimedOut != 1 || st.Late != 1 || st.Unanswered != 0 || len(timedOut) != 1 || len(late) != 1 || late[0] != time.Second || c.Err() != nil {
			t.Errorf("%+v, timed out %v, late %v, %v", st, timedOut, late, c.Err())
		}
	})
}

func TestClientGivesUpAServerThatAnswersNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		c := s.client(s.config())
		s.answer = silent(ServiceRead)
		n := 0
		for c.Err() == nil {
			if n++; n > maxUnanswered {
				t.Fatal("it goes on")
			}
			_ = readOne(c, t.Context())
		}
		var e *UnansweredError
		if err := c.Err(); !errors.As(err, &e) || !errors.Is(err, net.ErrClosed) || e.Requests != maxUnanswered {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestClientCancels(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		c := s.client(s.config())
		var held *fakeRequest
		s.answer = func(f *fakeConn, r *fakeRequest) bool { held = r; return r.service == ServiceRead }
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("no more")
		time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
		begun := time.Now()
		if err := readOne(c, ctx); !errors.Is(err, cause) || !errors.Is(err, context.Canceled) || time.Since(begun) != 100*time.Millisecond {
			t.Fatalf("after %v: %v", time.Since(begun), err)
		}
		synctest.Wait()
		s.conns[0].truth(held)
		synctest.Wait()
		if st := c.Stats(); st.Abandoned != 1 || st.Late != 0 || c.Err() != nil {
			t.Errorf("%+v, %v", st, c.Err())
		}
		if err := readOne(c, ctx); !errors.Is(err, cause) {
			t.Errorf("with a context that has ended: %v", err)
		}
	})
}

// Answers may come in any order.
func TestClientTakesAnswersInAnyOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		c := s.client(s.config())
		var mu sync.Mutex
		var held []*fakeRequest
		s.answer = func(f *fakeConn, r *fakeRequest) bool {
			mu.Lock()
			defer mu.Unlock()
			held = append(held, r)
			return r.service == ServiceRead
		}
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				into := make([]ua.DataValue, 3)
				if err := c.Read(t.Context(), NewReadPlan(numbered(10*i, 10*i+3), ReadOptions{}), into); err != nil {
					t.Error(err)
					return
				}
				truth(t, into, 10*i)
			})
		}
		synctest.Wait()
		for i := len(held) - 1; i >= 0; i-- {
			s.conns[0].truth(held[i])
		}
		wg.Wait()
	})
}

func TestClientForeignAnswersEndTheConnection(t *testing.T) {
	for name, answer := range map[string]func(f *fakeConn, r *fakeRequest){
		"unknown id": func(f *fakeConn, r *fakeRequest) { f.replyAs(r.id+1000, r.header.RequestHandle, 0, &ua.ReadResponse{}) },
		"other type": func(f *fakeConn, r *fakeRequest) { f.reply(r, &ua.WriteResponse{Results: make([]ua.StatusCode, 1)}) },
		"no type":    func(f *fakeConn, r *fakeRequest) { f.send(r.id, []byte{3, 0, 0, 1, 0, 0, 0, 'x'}) },
		"empty":      func(f *fakeConn, r *fakeRequest) { f.send(r.id, nil) },
		"twice":      func(f *fakeConn, r *fakeRequest) { f.truth(r); f.truth(r) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				var foreign atomic.Int32
				cfg := s.config()
				cfg.Hooks.Foreign = func() { foreign.Add(1) }
				c := s.client(cfg)
				s.answer = func(f *fakeConn, r *fakeRequest) bool {
					if r.service == ServiceRead {
						answer(f, r)
					}
					return r.service == ServiceRead
				}
				err := readOne(c, t.Context())
				synctest.Wait()
				var e *ForeignError
				if !errors.As(c.Err(), &e) || foreign.Load() != 1 || name != "twice" && !errors.As(err, &e) {
					t.Errorf("read says %v, the connection %v", err, c.Err())
				}
			})
		})
	}
}

func TestClientWrongNumberOfResultsIsAnError(t *testing.T) {
	for _, n := range []int{0, 1, 3, 1 << 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				c := s.client(s.config())
				s.answer = func(f *fakeConn, r *fakeRequest) bool {
					if r.service == ServiceRead {
						f.reply(r, &ua.ReadResponse{Results: make([]ua.DataValue, n)})
					}
					return r.service == ServiceRead
				}
				into := []ua.DataValue{{}, {}}
				err := c.Read(t.Context(), NewReadPlan(numbered(0, 2), ReadOptions{}), into)
				if n == 1 {
					// the halves are asked for alone then, and each has its one result
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				if !errors.Is(err, ua.BadDecodingError) || into[0].Status != ua.BadDecodingError || into[1].Status != ua.BadDecodingError {
					t.Errorf("%v, values %v", err, into)
				}
			})
		})
	}
}

func TestClientNeverWritesTwice(t *testing.T) {
	values := []ua.WriteValue{{NodeId: ua.NumericId(1, 1), Value: ua.DataValue{Value: ua.Double(1)}}, {NodeId: ua.NumericId(1, 2), Value: ua.DataValue{Value: ua.Double(2)}}}
	for _, x := range []struct {
		name     string
		answer   func(f *fakeConn, r *fakeRequest)
		requests int
		happened bool
		status   ua.StatusCode
	}{
		{"no answer", func(f *fakeConn, r *fakeRequest) {}, 1, true, ua.BadTimeout},
		{"cut", func(f *fakeConn, r *fakeRequest) { _ = f.conn.Close() }, 1, true, ua.BadConnectionClosed},
		{"refused", func(f *fakeConn, r *fakeRequest) { f.fault(r, ua.BadUserAccessDenied) }, 1, false, ua.BadUserAccessDenied},
		{"answer too long", func(f *fakeConn, r *fakeRequest) { f.fault(r, ua.BadResponseTooLarge) }, 1, true, ua.BadResponseTooLarge},
		{"stumbled", func(f *fakeConn, r *fakeRequest) { f.fault(r, ua.BadInternalError) }, 1, true, ua.BadInternalError},
		{"too many", func(f *fakeConn, r *fakeRequest) { f.fault(r, ua.BadTooManyOperations) }, 3, false, ua.BadTooManyOperations}, // refused unseen: halves may be tried
	} {
		t.Run(x.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				c := s.client(s.config())
				s.answer = func(f *fakeConn, r *fakeRequest) bool {
					if r.service == ServiceWrite {
						x.answer(f, r)
					}
					return r.service == ServiceWrite
				}
				results := make([]ua.StatusCode, 2)
				err := c.Write(t.Context(), values, results)
				var e *Error
				if !errors.As(err, &e) || e.MayHaveHappened() != x.happened || e.Status != x.status || results[0] != x.status || results[1] != x.status {
					t.Errorf("%v, results %v", err, results)
				}
				if n := s.times(ServiceWrite); n != x.requests {
					t.Errorf("%d requests", n)
				}
				if e != nil && e.Retryable() && x.happened {
					t.Error("may have happened and be tried again")
				}
			})
		})
	}
}

// The keys are renewed while requests go on.
func TestClientRenewsKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		var events []string
		cfg := s.config()
		cfg.Hooks.Event = func(e Event) { events = append(events, e.String()) }
		cfg.ChannelLifetime = 20 * time.Second
		c := s.client(cfg)
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if err := readOne(c, t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := c.Stats().Renewed; n != 7 && n != 8 || len(events) != int(n) {
			t.Errorf("renewed %d times in two minutes of 15 s each: %v", n, events)
		}
	})
}

// A token that a server grants for no time at all is not renewed without end.
func TestClientRenewsNoFasterThanItShould(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		var err error
		s.server, err = uasc.NewServer(uasc.ServerConfig{Security: []uasc.Security{{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}}, MinLifetime: time.Millisecond, MaxLifetime: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		c := s.client(s.config())
		time.Sleep(time.Minute)
		if n := c.Stats().Renewed; n > 8 {
			t.Errorf("renewed %d times in a minute", n)
		}
	})
}

func TestClientKeepsTheSessionAlive(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		cfg := s.config()
		cfg.SessionTimeout = 30 * time.Second
		c := s.client(cfg)
		before := s.times(ServiceRead)
		time.Sleep(time.Minute + time.Second)
		if n := s.times(ServiceRead) - before; n != 6 {
			t.Errorf("%d reads in a minute of ten seconds each", n)
		}
		s.answers(silent(ServiceRead))
		time.Sleep(12 * time.Second)
		synctest.Wait()
		var e *TimeoutError
		if err := c.Err(); !errors.As(err, &e) {
			t.Errorf("a server that does not answer: %v", err)
		}
	})
}

func TestClientSessionTimeoutsHaveFloors(t *testing.T) {
	for _, ms := range []float64{0, -1, 1e-9, math.NaN(), math.Inf(-1), math.Inf(1)} {
		t.Run(fmt.Sprint(ms), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				s.answer = func(f *fakeConn, r *fakeRequest) bool {
					m, ok := r.m.(*ua.CreateSessionRequest)
					if !ok {
						return false
					}
					out := s.create(m)
					out.RevisedSessionTimeout = ms
					f.reply(r, out)
					return true
				}
				c := s.client(s.config())
				time.Sleep(time.Minute)
				if n := s.times(ServiceRead); n > 20 || c.Err() != nil {
					t.Errorf("%d reads in a minute, %v", n, c.Err())
				}
			})
		})
	}
}

func TestClientEndsWithItsSession(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		c := s.client(s.config())
		s.forget()
		err := readOne(c, t.Context())
		synctest.Wait()
		var e *SessionLostError
		if !errors.Is(err, ua.BadSessionIdInvalid) || !errors.As(c.Err(), &e) || !errors.Is(c.Err(), net.ErrClosed) {
			t.Errorf("read says %v, the connection %v", err, c.Err())
		}
		c2, err := c.Recover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c2.Detach()
		if err := readOne(c2, t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A server whose references go in a circle, and one that always has more, come to an end.
func TestClientBrowsesNoCircles(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		s.answer = func(f *fakeConn, r *fakeRequest) bool {
			m, ok := r.m.(*ua.BrowseRequest)
			if !ok {
				return false
			}
			out := &ua.BrowseResponse{}
			for _, n := range m.NodesToBrowse {
				res := ua.BrowseResult{}
				for k := range uint32(3) {
					res.References = append(res.References, ua.ReferenceDescription{NodeId: ua.ExpandedNodeId{NodeId: ua.NumericId(1, (n.NodeId.Numeric*2+k)%50)}})
				}
				out.Results = append(out.Results, res)
			}
			f.reply(r, out)
			return true
		}
		c := s.client(s.config())
		seen := map[ua.NodeId]int{}
		if err := c.Walk(t.Context(), ua.NumericId(1, 0), WalkOptions{}, func(n Found) error { seen[n.Node]++; return nil }); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 49 {
			t.Errorf("%d nodes", len(seen))
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%v came %d times", id, n)
			}
		}
		err := c.Walk(t.Context(), ua.NumericId(1, 0), WalkOptions{MaxNodes: 10}, func(n Found) error { return nil })
		if !errors.Is(err, ErrWalkTooLong) {
			t.Errorf("a bounded walk: %v", err)
		}
	})
}

func TestClientBrowsesOnAndStops(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		released := 0
		s.answer = func(f *fakeConn, r *fakeRequest) bool {
			one := []ua.BrowseResult{{ContinuationPoint: []byte{1}, References: make([]ua.ReferenceDescription, 2)}}
			switch m := r.m.(type) {
			case *ua.BrowseRequest:
				f.reply(r, &ua.BrowseResponse{Results: one})
			case *ua.BrowseNextRequest:
				if m.ReleaseContinuationPoints {
					released++
				}
				f.reply(r, &ua.BrowseNextResponse{Results: one})
			default:
				return false
			}
			return true
		}
		c := s.client(s.config())
		n := 0
		st, err := c.Browse(t.Context(), []ua.BrowseDescription{Forward(ua.NumericId(1, 1))}, func(int, *ua.ReferenceDescription) error { n++; return nil })
		if err != nil || st[0] != ua.BadNoContinuationPoints || n != 2*(mostContinued+1) || released != 1 {
			t.Errorf("%d references, %v, %v, released %d times", n, st, err, released)
		}
		enough := errors.New("enough")
		if _, err := c.Browse(t.Context(), []ua.BrowseDescription{Forward(ua.NumericId(1, 1))}, func(int, *ua.ReferenceDescription) error { return enough }); !errors.Is(err, enough) || released != 2 {
			t.Errorf("%v, released %d times", err, released)
		}
	})
}

// A node for which the server has no continuation point left is asked for alone.
func TestClientBrowsesWithFewContinuationPoints(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		s.answer = func(f *fakeConn, r *fakeRequest) bool {
			switch m := r.m.(type) {
			case *ua.BrowseRequest:
				out := &ua.BrowseResponse{}
				for i := range m.NodesToBrowse {
					res := ua.BrowseResult{StatusCode: ua.BadNoContinuationPoints}
					if i == 0 {
						res = ua.BrowseResult{ContinuationPoint: []byte{1}, References: make([]ua.ReferenceDescription, 1)}
					}
					out.Results = append(out.Results, res)
				}
				f.reply(r, out)
			case *ua.BrowseNextRequest:
				f.reply(r, &ua.BrowseNextResponse{Results: []ua.BrowseResult{{References: make([]ua.ReferenceDescription, 1)}}})
			default:
				return false
			}
			return true
		}
		c := s.client(s.config())
		seen := make([]int, 5)
		st, err := c.Browse(t.Context(), make([]ua.BrowseDescription, 5), func(i int, _ *ua.ReferenceDescription) error { seen[i]++; return nil })
		if err != nil || fmt.Sprint(seen) != "[2 2 2 2 2]" || fmt.Sprint(st) != "[Good Good Good Good Good]" {
			t.Errorf("%v, %v, %v", seen, st, err)
		}
	})
}

// Counts that no message could hold are no reason to allocate.
func TestClientRogueCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		s.answer = func(f *fakeConn, r *fakeRequest) bool {
			if r.service != ServiceGetEndpoints {
				return false
			}
			body := ua.AppendNodeId(nil, ua.NumericId(0, 431))
			h := ua.ResponseHeader{RequestHandle: r.header.RequestHandle}
			f.send(r.id, append(h.AppendTo(body), 0xFF, 0xFF, 0xFF, 0x7F))
			return true
		}
		_, err := Dial(t.Context(), fakeURL, s.config())
		var e *DialError
		if !errors.As(err, &e) || e.Stage != StageDiscover || !errors.Is(err, ua.BadDecodingError) && !errors.Is(err, ua.BadEncodingLimitsExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestClientErrorOfTheServer(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		c := s.client(s.config())
		s.conns[0].write(uasc.AppendError(nil, ua.BadTcpNotEnoughResources, "full"))
		synctest.Wait()
		var e *uasc.PeerError
		if err := c.Err(); !errors.As(err, &e) || e.Reason != "full" || !errors.Is(err, ua.BadTcpNotEnoughResources) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestClientNodeIdsByURI(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		s.names = append(s.names, "urn:a;b%c")
		c := s.client(s.config())
		for text, want := range map[string]ua.NodeId{
			"i=85": ua.NumericId(0, 85), "ns=2;s=x": ua.StringId(2, "x"), "nsu=urn:fake;s=a;b": ua.StringId(1, "a;b"), "nsu=urn:a%3Bb%25c;i=7": ua.NumericId(2, 7),
		} {
			id, err := c.ParseNodeId(text)
			if err != nil || id != want {
				t.Errorf("%s is %v, %v", text, id, err)
			}
			if again, err := c.ParseNodeId(c.FormatNodeId(id)); err != nil || again != id {
				t.Errorf("%s is formatted as %s", text, c.FormatNodeId(id))
			}
		}
		var e *NamespaceError
		if _, err := c.ParseNodeId("nsu=urn:nowhere;s=x"); !errors.As(err, &e) {
			t.Errorf("an unknown namespace: %v", err)
		}
	})
}
