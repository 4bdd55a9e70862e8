package write

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/device"
	"millrace/internal/journal/faultfs"
	"millrace/internal/tag"
)

func TestApproval(t *testing.T) {
	boss := Caller{User: "boss", Role: RoleWrite, Via: "api"}
	bubble(t, func(t *testing.T) {
		r := Default()
		r.Approve = true
		g := newRig(t, r)
		g.plant.put(1, tag.Float64Value(3), tag.Good)
		out := g.Submit(t.Context(), order(7))
		g.want(out, Pending, "approved", "asked")
		if out.Old.String() != "3" {
			t.Errorf("whoever approves it is shown that the tag is %v", out.Old)
		}
		if w := g.Waiting(); len(w) != 1 || w[0].ID != out.ID {
			t.Errorf("%+v", w)
		}
		for _, c := range []Caller{shift, {User: "guest"}} {
			var na *NotAllowedError
			if _, err := g.Approve(t.Context(), out.ID, c, true, ""); !errors.As(err, &na) {
				t.Errorf("%s: %v", c.User, err)
			}
		}
		if _, err := g.Approve(t.Context(), out.ID+1, boss, true, ""); !errors.Is(err, ErrNotPending) {
			t.Errorf("%v", err)
		}
		out, err := g.Approve(t.Context(), out.ID, boss, true, "go on")
		if err != nil || out.Approver != "boss" {
			t.Errorf("%+v, %v", out, err)
		}
		g.want(out, Confirmed, "", "asked", "approved", "sending", "done confirmed")
		if _, err := g.Approve(t.Context(), out.ID, boss, true, ""); !errors.Is(err, ErrNotPending) {
			t.Errorf("twice: %v", err)
		}
		if again, ok := g.Outcome(out.ID); !ok || again.End != Confirmed {
			t.Errorf("%+v", again)
		}
	})
	bubble(t, func(t *testing.T) {
		r := Default()
		r.Approve = true
		g := newRig(t, r)
		out, err := g.Approve(t.Context(), g.Submit(t.Context(), order(7)).ID, boss, false, "too hot")
		if err != nil {
			t.Error(err)
		}
		g.want(out, Refused, "boss rejected it: too hot", "asked", "rejected refused")
		own := g.Submit(t.Context(), order(8))
		out, err = g.Approve(t.Context(), own.ID, shift, false, "")
		if err != nil || out.Reason != "shift took it back" || out.Approver != "" {
			t.Errorf("whoever asked takes it back: %+v, %v", out, err)
		}
		late := g.Submit(t.Context(), order(8))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { g.Run(ctx); close(ended) }()
		time.Sleep(r.ApproveWithin + 2*time.Second)
		if out, _ := g.Outcome(late.ID); out.End != Refused || !strings.Contains(out.Reason, "nobody") {
			t.Errorf("%+v", out)
		}
		stop()
		<-ended
		last := g.Submit(t.Context(), order(9))
		g.Close()
		if out, _ := g.Outcome(last.ID); out.End != Refused {
			t.Errorf("%+v", out)
		}
		g.want(g.Submit(t.Context(), order(9)), Refused, "stopping")
		if len(g.plant.sent) != 0 {
			t.Errorf("%d sent", len(g.plant.sent))
		}
	})
}

// Between the last moment to approve a write and the next look at those that wait nobody approves it.
func TestApprovedTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := Default()
		r.Approve = true
		g := newRig(t, r)
		id := g.Submit(t.Context(), order(7)).ID
		time.Sleep(r.ApproveWithin + time.Millisecond)
		if out, err := g.Approve(t.Context(), id, Caller{User: "boss", Role: RoleWrite}, true, ""); !errors.Is(err, ErrNotPending) || len(g.plant.sent) > 0 {
			t.Errorf("%+v, %v", out, err)
		}
		out, _ := g.Outcome(id)
		g.want(out, Refused, "nobody approved it in time", "asked", "rejected refused")
	})
}

// What became of a write that had to be approved is known behind a restart: who decided, and that it was refused. The key of a refused one is free.
func TestApprovalsAcrossARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := Default()
		r.Approve = true
		g := newRig(t, r)
		boss := Caller{User: "boss", Role: RoleWrite, Via: "api"}
		ids := map[string]uint64{}
		for _, name := range []string{"approved", "rejected", "taken back", "waiting"} {
			o := order(7)
			o.Key = name
			ids[name] = g.Submit(t.Context(), o).ID
		}
		for name, c := range map[string]Caller{"approved": boss, "rejected": boss, "taken back": shift} {
			if _, err := g.Approve(t.Context(), ids[name], c, name == "approved", ""); err != nil {
				t.Error(err)
			}
		}
		h := newRigOn(t, g.fs.After(faultfs.None), newPlant(), r)
		for name, want := range map[string]string{
			"approved": "confirmed  by boss", "rejected": "refused boss rejected it by boss", "taken back": "refused shift took it back by ", "waiting": "refused the gateway ended before somebody approved it by ",
		} {
			out, ok := h.Outcome(ids[name])
			if got := string(out.End) + " " + out.Reason + " by " + out.Approver; !ok || got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
			o := order(7)
			o.Key = name
			if again := h.Submit(t.Context(), o); again.Repeated != (name == "approved") {
				t.Errorf("%s, once more: %+v", name, again)
			}
		}
	})
}

// What somebody asked for who may not write any more is refused when it is approved, and so is what takes a role that he has lost.
func TestApprovalOfOneWhoIsGone(t *testing.T) {
	boss := Caller{User: "boss", Role: RoleAdmin, Via: "api"}
	for name, c := range map[string]struct {
		role  Role
		known bool
		want  string // of the reason; "" is confirmed
	}{"gone": {0, false, "shift, who asked for it, may not write any more"}, "less": {RoleWrite, true, "it takes the role admin"}, "as it was": {RoleAdmin, true, ""}} {
		bubble(t, func(t *testing.T) {
			r := Default()
			r.Approve, r.Role = true, RoleAdmin
			g := newRig(t, r)
			var asked Caller
			o := order(7)
			o.Caller.Role = RoleAdmin
			g.cfg.RoleOf = func(c Caller) (Role, bool) { asked = c; return c.Role, true }
			id := g.Submit(t.Context(), o).ID
			g.cfg.RoleOf = func(who Caller) (Role, bool) { asked = who; return c.role, c.known }
			out, err := g.Approve(t.Context(), id, boss, true, "")
			if err != nil || asked.User != "shift" {
				t.Errorf("%s: %v, asked for %+v", name, err, asked)
			}
			if c.want == "" {
				g.want(out, Confirmed, "")
				return
			}
			g.want(out, Refused, c.want, "asked", "approved", "refused refused")
			if out.Cause != NoRole || len(g.plant.sent) != 0 || len(g.Waiting()) != 0 {
				t.Errorf("%s: %+v, %d sent, %d wait", name, out, len(g.plant.sent), len(g.Waiting()))
			}
		})
	}
}

// Nothing leaves that the audit log has not taken.
func TestNoAuditNoWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, Default())
		g.fs.Fail(faultfs.Sync, "audit", errors.New("EIO"), 1)
		out := g.Submit(t.Context(), order(7))
		g.want(out, Refused, "audit log does not take it")
		if out.Cause != NoAudit || len(g.plant.sent) != 0 {
			t.Errorf("%+v, %d sent", out, len(g.plant.sent))
		}
		g.want(g.Submit(t.Context(), order(8)), Confirmed, "", "sending", "done confirmed")
	})
	bubble(t, func(t *testing.T) { // the end is tried again
		g := newRig(t, Default())
		g.plant.onWrite = func(v tag.Value) (device.Result, error) {
			g.plant.put(1, v, tag.Good)
			g.fs.Fail(faultfs.Write, "audit", errors.New("EIO"), 2)
			return device.Result{}, nil
		}
		g.want(g.Submit(t.Context(), order(7)), Confirmed, "", "sending", "done confirmed")
	})
}

// Of desired values the newest is written, and one that is lost is written again.
func TestDesired(t *testing.T) {
	r := Default()
	r.Mode, r.Expire, r.PerMinute = Desired, DesiredExpire, 0
	bubble(t, func(t *testing.T) {
		g := newRig(t, r)
		g.plant.hold = make(chan struct{})
		done := make([]chan Outcome, 5)
		for i := range done {
			done[i] = make(chan Outcome, 1)
			go func() { done[i] <- g.Submit(t.Context(), order(float64(i))) }()
			synctest.Wait()
		}
		close(g.plant.hold)
		for i, d := range done {
			out := <-d
			if last := i == len(done)-1; last && out.End != Confirmed || !last && (out.End != Refused || out.Cause != Overtaken) {
				t.Errorf("wish %d: %+v", i, out)
			}
		}
		if len(g.plant.sent) != 1 {
			t.Errorf("%d sent", len(g.plant.sent))
		}
	})
	bubble(t, func(t *testing.T) {
		g := newRig(t, r)
		tries := 0
		g.plant.onWrite = func(v tag.Value) (device.Result, error) {
			if tries++; tries < 4 {
				err := errors.New("timeout")
				return device.Result{Err: err, MayHaveHappened: true}, err
			}
			g.plant.put(1, v, tag.Good)
			return device.Result{}, nil
		}
		g.want(g.Submit(t.Context(), order(1)), Confirmed, "", "sending", "done confirmed")
	})
	bubble(t, func(t *testing.T) { // what was there before is no sign of it
		g := newRig(t, r)
		reads := g.plant.readings
		g.plant.put(1, tag.Float64Value(7), tag.Good)
		g.plant.onWrite = func(tag.Value) (device.Result, error) { return device.Result{}, nil }
		g.plant.onRead = func() error {
			g.plant.put(1, tag.Float64Value(3), tag.Good)
			return nil
		}
		if out := g.Submit(t.Context(), order(7)); out.End != Differs || g.plant.readings == reads {
			t.Errorf("%+v", out)
		}
	})
	bubble(t, func(t *testing.T) { // until it expires
		g := newRig(t, r)
		g.plant.onWrite = func(tag.Value) (device.Result, error) {
			err := errors.New("timeout")
			return device.Result{Err: err, MayHaveHappened: true}, err
		}
		began := time.Now()
		g.want(g.Submit(t.Context(), order(1)), Unknown, "timeout", "sending", "done unknown")
		if d := time.Since(began); d < DesiredExpire || d > DesiredExpire+5*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// More at once than may be are refused, and the end waits for those under way.
func TestAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, Default())
		g.cfg.AtOnce = 2
		g.plant.hold = make(chan struct{})
		done := make(chan Outcome, 2)
		for i := range 2 {
			go func() { done <- g.Submit(t.Context(), order(float64(i))) }()
		}
		synctest.Wait()
		g.want(g.Submit(t.Context(), order(9)), Refused, "as many writes")
		closed := make(chan struct{})
		go func() { g.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("it did not wait")
		default:
		}
		close(g.plant.hold)
		<-closed
		for range 2 {
			g.want(<-done, Confirmed, "")
		}
	})
}
