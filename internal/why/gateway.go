package why

import (
	"fmt"
	"math"
	"slices"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
)

func findDraining(f *Facts, x *Finding) bool {
	if f.Device.State != device.Draining && f.Device.State != device.Closed {
		return false
	}
	x.Title = f.Device.Name + " is on its way out: it was removed from the configuration, or the gateway stops"
	x.Since = f.Device.Since
	x.add("state %s for %s", f.Device.State, short(f.Now.Sub(f.Device.Since)))
	return true
}

func findOutOfService(f *Facts, x *Finding) bool {
	if !f.Device.OutOfService && f.Device.State != device.OutOfService {
		return false
	}
	x.Title = f.Device.Name + " is out of service"
	rule := ruleIn(f.Device.Reason)
	switch {
	case rule != "":
		x.Title += " by the healing rule " + rule
	case f.Device.OutOfService:
		x.Title += " by hand"
	}
	x.Since = f.Device.Since
	x.add("%s, for %s", sentence(f.Device.Reason), short(f.Now.Sub(f.Device.Since)))
	x.Todo = []string{"millrace maintenance off " + f.Device.Name + ", when the work is done", "or put back the tags that were taken out, when it is only they"}
	if rule != "" {
		x.Todo = []string{"millrace heal history " + rule + " --all says why the rule did so, and when it is undone", "millrace maintenance off " + f.Device.Name + ", when the device is in order again"}
	}
	return true
}

func findTagOutOfService(f *Facts, x *Finding) bool {
	if f.Tag == nil || f.Device.OutOfService || !f.Tag.OutOfService && f.Tag.Quality != tag.BadOutOfService {
		return false
	}
	x.Title = f.Tag.Name + " is out of service by hand"
	x.Since = f.Tag.At
	f.Tag.addTo(x, f)
	x.Todo = []string{"millrace maintenance off " + f.Tag.Name + ", when the work is done"}
	return true
}

// findNoPlace: the tag is in no request.
func findNoPlace(f *Facts, x *Finding) bool {
	names, _ := f.of(tag.BadConfigurationError)
	if len(names) == 0 || f.Tag != nil && f.Tag.Quality != tag.BadConfigurationError {
		return false
	}
	x.Title = fmt.Sprintf("%s cannot be asked for: under what the device was found to bear the address has no place in a request", list(names, 5))
	x.add("%s without a place", many(len(names), "tag"))
	l := f.Device.Limits
	x.add("limits: PDU %d, registers %d, bits %d, items %d, %s", l.PDU, l.MaxRegisters, l.MaxBits, l.MaxItems, many(len(l.Holes), "hole"))
	f.addHoles(x)
	if f.Tag != nil {
		x.Since = f.Tag.At
	}
	return true
}

// findConfigured: the trouble began with another configuration.
func findConfigured(f *Facts, x *Finding) bool {
	if !f.reconfigured() || f.polled() && !f.refusedSince(f.Device.Configured) {
		return false
	}
	var first *device.Fault
	for i := range f.Evidence.Faults {
		switch o := &f.Evidence.Faults[i]; {
		case o.Kind > device.FaultRefusal:
		case o.First.Before(f.Device.Configured):
			if f.Now.Sub(o.Last) < lately {
				return false // it was so before
			}
		case first == nil || o.First.Before(first.First):
			first = o
		}
	}
	if first == nil || first.First.Sub(f.Device.Configured) > justBefore {
		return false
	}
	x.Title = fmt.Sprintf("It began with a change of its configuration: %s after it the first fault (%s)", short(first.First.Sub(f.Device.Configured)), first.Kind)
	x.Since = first.First
	x.add("configured %s ago as %s", short(f.Now.Sub(f.Device.Configured)), f.Device.Endpoint)
	if first.Err != nil {
		x.add("in its own words: %s", first.Err)
	}
	return true
}

// refusedSince says whether refusals began behind at.
func (f *Facts) refusedSince(at time.Time) bool {
	of := f.recent(device.FaultRefusal)
	return of != nil && of.First.After(at)
}

// findLimited: the user's own limits do not let the intervals be kept.
func findLimited(f *Facts, x *Finding) bool {
	if quiet := f.Spec.PauseAfterConnect; f.polled() && f.lastRead().Before(f.Device.Since) && f.Now.Sub(f.Device.Since) < quiet {
		x.Title = fmt.Sprintf("It is left in quiet behind its connect, for %s as configured", short(quiet))
		x.Since = f.Device.Since
		x.add("connected %s ago, pause_after_connect is %s", short(f.Now.Sub(f.Device.Since)), short(quiet))
		return true
	}
	rate := f.Spec.RequestsPerSecond
	if rate <= 0 || !f.polled() {
		return false
	}
	wanted, missed := 0.0, uint64(0)
	for i := range f.sharers {
		d := &f.sharers[i]
		for _, g := range d.Groups {
			wanted += float64(g.Requests) / g.Interval.Seconds()
			missed += g.Missed
		}
	}
	if wanted <= rate {
		return false
	}
	x.Title = fmt.Sprintf("Its own limit holds it back: the intervals need %.3g requests a second, requests_per_second allows %.3g", wanted, rate)
	x.add("%s missed so far", many(int(missed), "poll"))
	x.add("%s on the connection", many(len(f.sharers), "device"))
	if f.Spec.PauseAfterConnect > 0 {
		x.add("and %s of quiet behind each connect", short(f.Spec.PauseAfterConnect))
	}
	return true
}

// findBusy: the turns on the connection take longer than the intervals have, or nearly.
func findBusy(f *Facts, x *Finding) bool {
	if !f.polled() {
		return false
	}
	busy, most, culprit, missed, said := 0.0, 0.0, "", uint64(0), ""
	var took, interval time.Duration
	for i := range f.sharers {
		d := &f.sharers[i]
		if d.LoadWhy != "" {
			said = d.LoadWhy
		}
		for _, g := range d.Groups {
			share := float64(g.Took) / float64(pace(&g))
			busy += share
			missed += g.Missed
			if share > most {
				most, culprit, took, interval = share, d.Name+", group "+g.Name, g.Took, pace(&g)
			}
		}
	}
	if said == "" && (busy < 0.9 || missed == 0) {
		return false
	}
	x.Title = fmt.Sprintf("The connection has not the time for all that is asked over it: %s of it; most takes %s", percent(max(busy, f.Device.Load)), culprit)
	x.add("a turn of %s takes %s, every %s: %s", culprit, short(took), short(interval), percent(most))
	if said != "" {
		x.add("%s", said)
	}
	x.add("%s missed on this connection, by %s", many(int(missed), "poll"), many(len(f.sharers), "device"))
	f.addRTT(x)
	return true
}

// pace is how often a group is read: as configured, or less often where it is stretched.
func pace(g *device.GroupStatus) time.Duration {
	if g.Every > 0 {
		return g.Every
	}
	return g.Interval
}

// findOverload: turns begin late everywhere, so that it is not the devices; or this one's do, and the processors are busy.
func findOverload(f *Facts, x *Finding) bool {
	all, late := 0, 0
	worst := time.Duration(0)
	for d := range f.All {
		if d.Shares == f.Device.Shares || d.State != device.Ready {
			continue
		}
		for k := range d.Groups {
			all++
			if isLate(&d.Groups[k]) {
				late++
				worst = max(worst, d.Groups[k].Lag)
			}
		}
	}
	own := f.polled() && slices.ContainsFunc(f.Device.Groups, func(g device.GroupStatus) bool { return isLate(&g) })
	switch {
	case f.Gateway.Overload != "" && (own || f.Gateway.Late >= 100*time.Millisecond):
		x.Title = "The gateway itself has too much to do: " + f.Gateway.Overload
		x.add("groups are looked at %s behind their due times", short(f.Gateway.Late))
	case late >= 3 && 5*late >= all:
		x.Title = fmt.Sprintf("The gateway itself has too much to do: %d of %d groups elsewhere are read late too", late, all)
		x.add("late by up to %s", short(worst))
	case own && f.Gateway.CPU >= 0.9:
		x.Title = fmt.Sprintf("The machine of the gateway has too much to do: %s of its processors are busy", percent(f.Gateway.CPU))
	default:
		return false
	}
	for _, g := range f.Device.Groups {
		x.add("group %s of this device is late by %s, every %s; %s missed", g.Name, short(g.Lag), short(g.Interval), many(int(g.Missed), "poll"))
	}
	if f.Gateway.CPU >= 0 {
		x.add("%s of the machine's processors are busy, the gateway uses %s of them", percent(f.Gateway.CPU), percent(f.Gateway.OwnCPU))
	}
	return true
}

// isLate says whether a group is read late, and not because its own turns take so long.
func isLate(g *device.GroupStatus) bool {
	return g.Lag >= 50*time.Millisecond && g.Lag > pace(g)/10 && g.Took < pace(g)/2
}

func findClock(f *Facts, x *Finding) bool {
	if f.Gateway.Clock.IsZero() || f.Now.Sub(f.Gateway.Clock).Abs() > lately {
		return false
	}
	x.Title = fmt.Sprintf("The gateway's clock was set by %s: times before and after do not fit together", short(f.Gateway.ClockBy))
	x.Since = f.Gateway.Clock
	x.Before = []Moment{}
	x.add("%s ago, by %s", short(f.Now.Sub(f.Gateway.Clock)), short(f.Gateway.ClockBy))
	return true
}

func findJournal(f *Facts, x *Finding) bool {
	if f.Gateway.Journal == "" {
		return false
	}
	x.Title = "Values are read and cannot be kept: " + f.Gateway.Journal
	x.Since = f.Gateway.Since
	x.add("%s", f.Gateway.Journal)
	if f.Gateway.Free >= 0 {
		x.add("%s free on the journal's disk", bytes(f.Gateway.Free))
	}
	x.add("%d values had no room so far", f.Gateway.Dropped)
	return true
}

func bytes(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.4g %s", math.Round(v*10)/10, units[i])
}

func findSink(f *Facts, x *Finding) bool {
	for _, s := range f.Gateway.Sinks {
		if s.Reason == "" && s.Behind < 30*time.Second {
			continue
		}
		if x.Title == "" {
			x.Title = fmt.Sprintf("Values are read and do not arrive in time: sink %s is %s behind", s.ID, short(s.Behind))
			x.Since = s.Since
		}
		x.add("sink %s: %d values wait, the oldest for %s; %s", s.ID, s.Waiting, short(s.Behind), orWell(s.Reason))
	}
	return x.Title != ""
}

func orWell(reason string) string {
	if reason == "" {
		return "it takes what it gets, and more slowly than values come"
	}
	return reason
}

// findReload: the file says something else than what runs.
func findReload(f *Facts, x *Finding) bool {
	if f.Gateway.Reload == "" {
		return false
	}
	x.Title = "The configuration file was changed and is not in effect: it was refused"
	x.Since = f.Gateway.ReloadAt
	x.add("%s", f.Gateway.Reload)
	return true
}

// findDeadband: what is shown is not what was read last, within its deadband.
func findDeadband(f *Facts, x *Finding) bool {
	t := f.Tag
	if t == nil || !t.Quality.IsGood() || t.Deadband == "" || t.Told == t.Value {
		return false
	}
	x.Title = fmt.Sprintf("%s changes within its deadband (%s): consumers still have %s", t.Name, t.Deadband, t.Told)
	x.add("read %s ago: %s; passed on last: %s", short(f.Now.Sub(t.At)), t.Value, t.Told)
	return true
}

func findWaiting(f *Facts, x *Finding) bool {
	t := f.Tag
	if t == nil || t.Quality != tag.BadWaitingForInitialData || f.away() {
		return false
	}
	x.Title = t.Name + " was not read yet"
	x.Since = f.Device.Configured
	x.add("the device is %s for %s", f.Device.State, short(f.Now.Sub(f.Device.Since)))
	for _, g := range f.Device.Groups {
		if g.Name == t.Group {
			x.add("its group %s is read every %s, last %s", g.Name, short(g.Interval), ago(f.Now, g.LastRead))
		}
	}
	return true
}

func ago(now, at time.Time) string {
	if at.IsZero() {
		return "never yet"
	}
	return short(now.Sub(at)) + " ago"
}

// findLeftOut: the device is read, and of this tag nothing came.
func findLeftOut(f *Facts, x *Finding) bool {
	t := f.Tag
	if t == nil || f.away() || t.Quality != tag.UncertainLastUsable && t.Quality != tag.BadNoCommunication {
		return false
	}
	x.Title = fmt.Sprintf("%s keeps its last value: the device is read, and of this tag nothing came", t.Name)
	x.Since = t.At
	t.addTo(x, f)
	x.add("the device is %s: %s", f.Device.State, sentence(f.Device.Reason))
	return true
}

// findDialQueue: it may not connect yet, since so many others do.
func findDialQueue(f *Facts, x *Finding) bool {
	if f.Device.State != device.Opening || f.Gateway.Waiting < 2 {
		return false
	}
	for i := range f.Evidence.Faults {
		if o := &f.Evidence.Faults[i]; o.Kind.Dialling() && !o.Last.Before(f.Device.Since) {
			return false // it had its turn
		}
	}
	x.Title = fmt.Sprintf("It waits for its turn to connect, as %d others do", f.Gateway.Waiting-1)
	x.Since = f.Device.Since
	x.add("%d connections wait for their turn to be made", f.Gateway.Waiting)
	if len(f.Gateway.Slowed) > 0 {
		x.add("slowed for connections that timed out: %s", list(f.Gateway.Slowed, 5))
	}
	return true
}

// findCooling: when a device that is down is tried again.
func findCooling(f *Facts, x *Finding) bool {
	if f.Device.State != device.Cooling || f.Device.RetryAt.IsZero() {
		return false
	}
	x.Title = fmt.Sprintf("It is left alone until it is tried again, in %s", short(f.Device.RetryAt.Sub(f.Now)))
	x.Since = f.Device.Since
	tries := uint64(0)
	for _, o := range f.Evidence.Faults {
		if o.Kind.Dialling() {
			tries += o.Count
		}
	}
	x.add("down for %s, %s to connect failed", short(f.Now.Sub(f.Device.DownSince)), many(int(tries), "attempt"))
	x.add("its profile waits %s at most", short(f.Spec.Profile.Cap))
	return true
}

func findWell(f *Facts, x *Finding) bool {
	x.Since = f.Device.Since
	if f.away() || f.Device.State == device.Idle {
		x.Title, x.Confidence = f.Device.Name+" is being connected, and nothing failed yet", Possible
		x.add("state %s for %s", f.Device.State, short(f.Now.Sub(f.Device.Since)))
		return true
	}
	x.Title = "All is well with " + f.Device.Name
	if f.Tag != nil {
		x.Title = fmt.Sprintf("All is well with %s: %s, %s ago", f.Tag.Name, orNothing(f.Tag.Value), short(f.Now.Sub(f.Tag.At)))
		f.Tag.addTo(x, f)
	}
	x.add("%s for %s, read %s, the last time %s", f.Device.State, short(f.Now.Sub(f.Device.Since)), times(f.Device.Reads), ago(f.Now, f.lastRead()))
	f.addRTT(x)
	for _, g := range f.Device.Groups {
		x.add("group %s: %s every %s, late by %s, %s missed so far", g.Name, many(g.Active, "tag"), short(g.Interval), short(g.Lag), many(int(g.Missed), "poll"))
	}
	x.add("%d good values of %d; %s so far", f.goodTags(), len(f.Tags), many(int(f.Device.Outages), "outage"))
	return true
}
