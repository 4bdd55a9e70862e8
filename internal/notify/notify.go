// Package notify tells somebody outside, by a webhook, what the gateway cannot mend itself: a device is down or back, the ledger does
// not add up, the disk fails.
package notify

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// The kinds of events.
const (
	DeviceDown = "device_down"
	DeviceUp   = "device_up"
	Residue    = "residue" // the ledger does not add up
	Disk       = "disk"    // the disk is full or failing
	Healing    = "healing" // a healing rule acted, stopped, or has something to say
)

var kinds = []string{DeviceDown, DeviceUp, Residue, Disk, Healing}

// Event is one thing that happened.
type Event struct {
	Kind   string
	Device string // "" when it is not about a device
	Reason string
	Time   time.Time // zero is now
}

// Config says whom to tell and how hard to try. Gateway and URL are required.
type Config struct {
	Gateway string
	URL     string   // its path and query may be secret: no error shows them
	On      []string // the kinds of events wanted, none is all

	Queue  int           // most messages that wait; 0 is 256. Of events that find no room, the number is sent when there is
	GiveUp time.Duration // a message that waited longer is sent no more; 0 is 5 min
	Quiet  time.Duration // how long a device is quiet after its first events (see Webhook); 0 is 1 min

	Client   *http.Client       // nil is one with a timeout of 10 s that follows no redirects
	OnFailed func(Event, error) // told by Run of each event that was given up; must not block; may be nil
}

func (c Config) withDefaults() (Config, error) {
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return c, errors.New("notify: the address of the webhook is not an http:// or https:// URL")
	}
	for _, k := range c.On {
		if !slices.Contains(kinds, k) {
			return c, fmt.Errorf("notify: unknown event %q", k)
		}
	}
	if c.Queue < 0 || c.GiveUp < 0 || c.Quiet < 0 {
		return c, fmt.Errorf("notify: queue %d, give-up %v and quiet %v may not be below 0", c.Queue, c.GiveUp, c.Quiet)
	}
	c.Queue = cmp.Or(c.Queue, 256)
	c.GiveUp = cmp.Or(c.GiveUp, 5*time.Minute)
	c.Quiet = cmp.Or(c.Quiet, time.Minute)
	if c.Client == nil {
		c.Client = &http.Client{
			Timeout:       10 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if c.OnFailed == nil {
		c.OnFailed = func(Event, error) {}
	}
	return c, nil
}

// Webhook posts events as JSON to an address.
//
// A device that flaps does not flood it: of the events of one device the first of each kind is sent at once, and then none of that
// kind until Quiet is over. When it is over and events were held back, one message with the last of them says how many they were, and
// the device is quiet anew. Events without a device are treated alike, each kind by itself.
//
// Any goroutine may call Notify and Stats. One goroutine calls Run.
type Webhook struct {
	cfg  Config
	rand *rand.Rand    // Run's
	wake chan struct{} // 1: there is something to do; a signal that finds it full is not needed

	mu       sync.Mutex // not held while anything is sent
	queue    []message
	windows  map[string]*window
	overflow map[string]int // events by kind that found the queue full, since the last message that said so
	stats    Stats
}

// message is an event to send, on behalf of count events.
type message struct {
	Event
	count  int
	expiry time.Time // not sent after that
}

// window is the quiet time of one device, or of one kind of events without a device.
type window struct {
	ends time.Time
	sent []string // kinds sent in it
	held int      // events held back
	last Event    // the last of those
}

// Stats counts messages and events since New.
type Stats struct {
	Sent      uint64 // messages that the receiver took
	HeldBack  uint64 // events held back since their device flaps
	Dropped   uint64 // events that found the queue full
	Failed    uint64 // messages given up: refused, or too old
	Retries   uint64
	Waiting   int
	LastError string // of the last try when that failed
}

// New returns a Webhook. It sends nothing before Run.
func New(c Config) (*Webhook, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Webhook{
		cfg: c, rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), wake: make(chan struct{}, 1),
		windows: map[string]*window{}, overflow: map[string]int{},
	}, nil
}

// Notify takes an event to send. It never blocks.
func (w *Webhook) Notify(e Event) {
	if len(w.cfg.On) > 0 && !slices.Contains(w.cfg.On, e.Kind) {
		return
	}
	now := time.Now()
	if e.Time.IsZero() {
		e.Time = now
	}
	w.mu.Lock()
	w.take(e, now)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Stats returns the counts.
func (w *Webhook) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Waiting = len(w.queue)
	return s
}

// take queues e, or holds it back. w.mu is held.
func (w *Webhook) take(e Event, now time.Time) {
	key := "device " + e.Device
	if e.Device == "" {
		key = e.Kind
	}
	win := w.windows[key]
	if win == nil {
		win = &window{ends: now.Add(w.cfg.Quiet)}
		w.windows[key] = win
	}
	if win.held > 0 || slices.Contains(win.sent, e.Kind) {
		win.held++
		win.last = e
		w.stats.HeldBack++
		return
	}
	win.sent = append(win.sent, e.Kind)
	w.push(e, 1, now)
}

// push queues a message unless the queue is full. w.mu is held.
func (w *Webhook) push(e Event, count int, now time.Time) {
	if len(w.queue) >= w.cfg.Queue {
		w.overflow[e.Kind] += count
		w.stats.Dropped += uint64(count)
		return
	}
	w.queue = append(w.queue, message{e, count, now.Add(w.cfg.GiveUp)})
}

// next ends the windows that are over, and returns the message to send now. Without one it returns how long until a window ends, 0
// when there is none.
func (w *Webhook) next(now time.Time) (m message, ok bool, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wait = w.endWindows(now)
	if len(w.queue) == 0 {
		w.pushOverflow(now)
	}
	if len(w.queue) == 0 {
		return m, false, wait
	}
	m = w.queue[0]
	w.queue = slices.Delete(w.queue, 0, 1)
	return m, true, 0
}

// endWindows queues what the windows that are over held back, and returns the time until the next one is over, 0 when there is none.
func (w *Webhook) endWindows(now time.Time) time.Duration {
	var soonest time.Time
	for key, win := range w.windows {
		if !win.ends.After(now) {
			if win.held == 0 {
				delete(w.windows, key)
				continue
			}
			w.push(win.last, win.held, now)
			*win = window{ends: now.Add(w.cfg.Quiet), sent: []string{win.last.Kind}}
		}
		if soonest.IsZero() || win.ends.Before(soonest) {
			soonest = win.ends
		}
	}
	if soonest.IsZero() {
		return 0
	}
	return soonest.Sub(now)
}

// pushOverflow queues a message for each kind of events that found the queue full. The queue has room for them: it is empty.
func (w *Webhook) pushOverflow(now time.Time) {
	for _, kind := range kinds {
		n := w.overflow[kind]
		if n == 0 {
			continue
		}
		delete(w.overflow, kind)
		e := Event{Kind: kind, Reason: fmt.Sprintf("%d more of these events than could be sent", n), Time: now}
		w.queue = append(w.queue, message{e, n, now.Add(w.cfg.GiveUp)})
	}
}
