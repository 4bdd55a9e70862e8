package device

import "testing"

// What a driver keeps of the other side is told to be kept, and makes no plan anew.
func TestWhatADriverKeepsMakesNoPlanAnew(t *testing.T) {
	u := &unit{}
	u.learn(Limits{Server: "one"})
	if l, news := u.tell(); !news || l.Server != "one" || u.limits.Generation != 0 {
		t.Errorf("%+v, news: %v", l, news)
	}
	u.learn(Limits{Server: "one"})
	u.learn(Limits{})
	if _, news := u.tell(); news {
		t.Error("the same was told twice")
	}
	u.learn(Limits{Server: "two", MaxItems: 5})
	if l, news := u.tell(); !news || l.Server != "two" || l.MaxItems != 5 || u.limits.Generation != 1 {
		t.Errorf("%+v, news: %v", l, news)
	}
}
