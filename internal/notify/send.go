package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// The wait before a message is sent again is anything between nothing and a bound that begins at retryBase and doubles up to retryCap.
const (
	retryBase = time.Second
	retryCap  = 30 * time.Second
)

// body is what is posted.
type body struct {
	Event   string    `json:"event"`
	Device  string    `json:"device,omitempty"`
	Reason  string    `json:"reason"`
	Time    time.Time `json:"time"`
	Gateway string    `json:"gateway"`
	Count   int       `json:"count"` // events that this message stands for
}

// StatusError is an answer of the receiver that is not a success.
type StatusError struct{ Status int }

func (e *StatusError) Error() string {
	return fmt.Sprintf("notify: the webhook answered %d %s", e.Status, http.StatusText(e.Status))
}

// Retryable says whether the same message may be taken another time.
func (e *StatusError) Retryable() bool {
	return e.Status >= 500 || e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests
}

// errTooOld is why a message is given up that waited too long behind others.
var errTooOld = errors.New("notify: the message waited too long")

// Run sends what Notify takes, until ctx ends. What waits then is not sent any more. It returns nil.
func (w *Webhook) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		m, ok, wait := w.next(time.Now())
		if ok {
			w.deliver(ctx, m, timer)
			continue
		}
		var ended <-chan time.Time // of a window; nil blocks
		if wait > 0 {
			timer.Reset(wait)
			ended = timer.C
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-ended:
		}
	}
	return nil
}

// deliver sends m, again and again until it is taken, refused, too old, or ctx ends.
func (w *Webhook) deliver(ctx context.Context, m message, timer *time.Timer) {
	if !time.Now().Before(m.expiry) {
		w.failed(m, errTooOld)
		return
	}
	for bound := retryBase; ; bound = min(2*bound, retryCap) {
		err := w.post(ctx, m)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			w.sent()
			return
		}
		wait := time.Duration(w.rand.Int64N(int64(bound) + 1))
		var refused *StatusError
		if errors.As(err, &refused) && !refused.Retryable() || time.Now().Add(wait).After(m.expiry) {
			w.failed(m, err)
			return
		}
		w.retried(err)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

func (w *Webhook) post(ctx context.Context, m message) error {
	ctx, cancel := context.WithDeadline(ctx, m.expiry)
	defer cancel()
	b, err := json.Marshal(body{m.Kind, m.Device, m.Reason, m.Time.UTC(), w.cfg.Gateway, m.count})
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.URL, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("notify: %w", withoutURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "millrace")
	resp, err := w.cfg.Client.Do(req)
	if err != nil {
		return fmt.Errorf("notify: post: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // read, so that the connection can be used again; what it says does not matter
	if resp.StatusCode/100 != 2 {
		return &StatusError{resp.StatusCode}
	}
	return nil
}

// withoutURL strips the address, which may hold a secret, from an error of net/http.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (w *Webhook) sent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Sent++
	w.stats.LastError = ""
}

func (w *Webhook) retried(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Retries++
	w.stats.LastError = err.Error()
}

func (w *Webhook) failed(m message, err error) {
	w.mu.Lock()
	w.stats.Failed++
	w.stats.LastError = err.Error()
	w.mu.Unlock()
	w.cfg.OnFailed(m.Event, err)
}
