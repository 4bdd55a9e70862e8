package device

import (
	"testing"
	"time"
)

// What a driver keeps of the other side is told to be kept, and makes no plan anew.
func TestWhatADriverKeepsMakesNoPlanAnew(t *testing.T) {
	b := newBench(t, Config{})
	b.apply(b.spec(1, time.Second, 1))
	u := b.unit("d0001")
	was := u.limits.Generation
	u.learn(Limits{Server: "one"})
	if l, news := u.tell(); !news || l.Server != "one" || u.limits.Generation != was {
		t.Errorf("%+v, news: %v", l, news)
	}
	u.learn(Limits{Server: "one"})
	u.learn(Limits{})
	if _, news := u.tell(); news {
		t.Error("the same was told twice")
	}
	u.learn(Limits{Server: "two", MaxItems: 5})
	if l, news := u.tell(); !news || l.Server != "two" || l.MaxItems != 5 || u.limits.Generation != was+1 {
		t.Errorf("%+v, news: %v", l, news)
	}
}
