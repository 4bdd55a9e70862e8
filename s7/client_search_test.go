package s7

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// moody is a PLC that refuses requests as a whole: with more items than it likes, with a variable of a bad DB in it, or all of them.
type moody struct {
	most   int
	bad    uint16 // DB
	all    bool
	code   ErrorCode
	asked  []int // items of each request
	silent int   // the number of a request that is not answered; 0 is none
}

func (m *moody) script(p *fakePLC) {
	for {
		pdu, ok := p.next()
		if !ok {
			return
		}
		m.asked = append(m.asked, pdu.Items())
		if len(m.asked) == m.silent {
			continue
		}
		answer := answerOf(&pdu)
		if m.refuses(&pdu) {
			answer = AppendRefusal(nil, pdu.Ref, m.code)
		}
		if !p.reply(answer) {
			return
		}
	}
}

func (m *moody) refuses(p *PDU) bool {
	var read ReadRequest
	var write WriteRequest
	items := read.Items
	if read.Decode(p) == 0 {
		items = read.Items
	} else if write.Decode(p) == 0 {
		items = write.Items
	}
	bad := slices.ContainsFunc(items, func(it Item) bool { return it.DB == m.bad && it.DB != 0 })
	return m.all || bad || m.most > 0 && len(items) > m.most
}

// lessons are what the hooks were told.
type lessons struct {
	learned []int
	refused []string
}

func (l *lessons) hooks() Hooks {
	return Hooks{
		Learned: func(n int) { l.learned = append(l.learned, n) },
		Refused: func(f Function, code ErrorCode, items int) {
			l.refused = append(l.refused, fmt.Sprintf("%v %04X %d", f, uint16(code), items))
		},
	}
}

// numbered are n variables of one byte each in DBs 1..n.
func numbered(n int) []Var {
	vars := make([]Var, n)
	for i := range vars {
		vars[i] = Var{Item: Bytes(AreaDB, uint16(i+1), uint32(i), 1)}
	}
	return vars
}

func withData(vars []Var) []Var {
	for i := range vars {
		vars[i].Data = truthOf(&vars[i].Item)
	}
	return vars
}

// One bad variable costs one variable, whatever the code, and the error says which it is.
func TestClientOneBadVariableCostsOne(t *testing.T) {
	for _, code := range []ErrorCode{ErrFrame, ErrServiceUnknown} {
		for _, bad := range []int{1, 39, 60, 79, 120, 150} {
			for _, writes := range []bool{false, true} {
				m := &moody{bad: uint16(bad), code: code}
				var l lessons
				c := withPLC(t, Config{Timeout: plenty, Hooks: l.hooks()}, m.script)
				vars := numbered(150)
				ask := c.Read
				if writes {
					vars, ask = withData(vars), c.Write
				}
				if err := ask(t.Context(), vars); err != nil {
					t.Fatal(err)
				}
				for i := range vars {
					if i+1 != bad {
						trueVar(t, &vars[i])
						continue
					}
					var e *Error
					if !errors.As(vars[i].Err, &e) || e.Refused != code || e.MayHaveHappened() || e.Retryable() || e.Item.DB != uint16(bad) || !strings.Contains(e.Error(), fmt.Sprintf("DB%d.", bad)) || e.Hint() == "" {
						t.Errorf("the bad one: %v", vars[i].Err)
					}
				}
				if len(l.learned) != 0 || len(l.refused) < 4 || len(m.asked) > 25 || c.Stats().Refused != uint64(len(l.refused)) {
					t.Errorf("bad %d: learned %v, refused %v, asked %v", bad, l.learned, l.refused, m.asked)
				}
			}
		}
	}
}

// A PLC that takes twenty items teaches that once.
func TestClientLearnsHowManyItemsAPLCTakes(t *testing.T) {
	for _, x := range []struct {
		most, learned int
		asked         []int // of the first read of 150
	}{
		{20, 20, []int{79, 71, 20, 20, 20, 19, 20, 20, 20, 11}},
		{39, 20, []int{79, 71, 20, 20, 20, 19, 20, 20, 20, 11}},
		{12, 10, []int{79, 71, 20, 10, 10, 20, 10, 10, 20, 10, 10, 19, 10, 9, 10, 10, 10, 10, 10, 10, 10, 1}},
		{79, 0, []int{79, 71}},
	} {
		m := &moody{most: x.most, code: ErrFrame}
		var l lessons
		c := withPLC(t, Config{Timeout: plenty, Hooks: l.hooks()}, m.script)
		vars := numbered(150)
		p, err := PlanRead(itemsOf(vars), c.Limits())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			vars = numbered(150)
			if err := c.ReadPlan(t.Context(), p, vars); err != nil {
				t.Fatal(err)
			}
			for i := range vars {
				trueVar(t, &vars[i])
			}
		}
		asked := slices.Clone(m.asked)
		if asked[2] == 1 { // the probe that finds that not everything is refused
			asked = slices.Delete(asked, 2, 3)
		}
		if len(l.learned) != min(1, x.learned) || x.learned > 0 && l.learned[0] != x.learned || !slices.Equal(asked[:len(x.asked)], x.asked) {
			t.Errorf("most %d: learned %v, asked %v", x.most, l.learned, asked)
		}
		if s := c.Stats(); x.learned > 0 && c.Limits().MaxItems != x.learned || s.Refused > 6 {
			t.Errorf("most %d: limits %+v, stats %+v", x.most, c.Limits(), s)
		}
		for _, n := range m.asked[len(m.asked)-150/max(10, x.most):] {
			if n > x.most {
				t.Errorf("most %d: asked for %d after the lesson", x.most, n)
			}
		}
	}
}

func itemsOf(vars []Var) []Item {
	items := make([]Item, len(vars))
	for i := range vars {
		items[i] = vars[i].Item
	}
	return items
}

// What was taken before was not too many.
func TestClientDoesNotLearnWhatItKnowsBetter(t *testing.T) {
	m := &moody{code: ErrFrame}
	var l lessons
	c := withPLC(t, Config{Timeout: plenty, Hooks: l.hooks()}, m.script)
	if err := c.Read(t.Context(), numbered(60)); err != nil {
		t.Fatal(err)
	}
	m.most = 5 // for another reason, which passes
	if err := c.Read(t.Context(), numbered(50)); err != nil {
		t.Fatal(err)
	}
	if len(l.learned) != 0 || c.Limits().MaxItems != maxItems {
		t.Errorf("learned %v", l.learned)
	}
}

// A PLC that refuses everything, as one without PUT/GET, is not asked for each variable by itself.
func TestClientDoesNotStormAPLCThatRefusesAll(t *testing.T) {
	m := &moody{all: true, code: ErrServiceUnknown}
	c := withPLC(t, Config{Timeout: plenty}, m.script)
	vars := numbered(500)
	if err := c.Read(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	for i := range vars {
		var e *Error
		if !errors.As(vars[i].Err, &e) || e.Refused != ErrServiceUnknown || !strings.Contains(e.Hint(), "PUT/GET is off") || len(vars[i].Data) != 0 {
			t.Fatalf("variable %d: %v", i, vars[i].Err)
		}
	}
	if len(m.asked) != 7+probes {
		t.Errorf("asked %v", m.asked)
	}
}

// Another refusal is nobody's fault: it is not looked for.
func TestClientDoesNotSearchWhatIsProtected(t *testing.T) {
	m := &moody{all: true, code: ErrProtected}
	c := withPLC(t, Config{Timeout: plenty}, m.script)
	vars := numbered(30)
	if err := c.Read(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if !errors.As(vars[29].Err, &e) || e.Refused != ErrProtected || !strings.Contains(e.Hint(), "password") || len(m.asked) != 1 {
		t.Errorf("%v, asked %v", vars[29].Err, m.asked)
	}
	if want := "s7: read var DB30.29 BYTE*1: refused: 0xD241 (not permitted at this protection level)"; e.Error() != want {
		t.Errorf("%v, want %s", e, want)
	}
}

// A transport that fails during the search leaves a word for every variable: none has a value that was not read.
func TestClientSearchIsCutOff(t *testing.T) {
	for silent := 2; silent < 12; silent++ {
		for _, writes := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				m := &moody{bad: 5, code: ErrFrame, silent: silent}
				c := withPLC(t, Config{}, m.script)
				vars := numbered(40)
				ask := c.Read
				if writes {
					vars, ask = withData(vars), c.Write
				}
				err := ask(t.Context(), vars)
				synctest.Wait()
				if m.silent <= len(m.asked) != timedOut(err) {
					t.Errorf("silent at %d of %v: %v", silent, m.asked, err)
				}
				for i := range vars {
					var e *Error
					switch {
					case vars[i].Err == nil:
						trueVar(t, &vars[i])
					case !errors.As(vars[i].Err, &e) || e.Refused != 0 && i != 4 || e.Refused == 0 && !e.Timeout() || !writes && len(vars[i].Data) != 0:
						t.Errorf("silent at %d, variable %d: %v", silent, i, vars[i].Err)
					}
				}
			})
		}
	}
}

// A variable that is longer than a PDU is written in pieces, in order, and no further than to one that is refused.
func TestClientWritesInPieces(t *testing.T) {
	var memory [600]byte
	refuse := -1
	var order []int
	c := withWays(t, "pipe", Config{Timeout: plenty}, plcWays{pdu: 240}, func(p *fakePLC) {
		for {
			pdu, ok := p.next()
			var m WriteRequest
			if !ok || m.Decode(&pdu) != 0 {
				return
			}
			var codes []byte
			for i := range m.Items {
				from, n := m.Items[i].Range()
				code := ReturnOK
				if order = append(order, from); refuse >= from && refuse < from+n {
					code = ReturnAddress
				} else if m.Items[i].DB == 1 {
					copy(memory[from:], m.Data[i].Data)
				}
				codes = append(codes, byte(code))
			}
			if !p.reply((&WriteResponse{Codes: codes}).AppendTo(nil, pdu.Ref)) {
				return
			}
		}
	})
	data := make([]byte, 600)
	for i := range data {
		data[i] = byte(i*7 + 1)
	}
	vars := func() []Var {
		return []Var{{Item: Bytes(AreaDB, 1, 0, 600), Data: data}, {Item: Bytes(AreaDB, 2, 5, 1), Data: []byte{1}}}
	}
	v := vars()
	if err := c.Write(t.Context(), v); err != nil || v[0].Err != nil || v[1].Err != nil || !slices.Equal(memory[:], data) || !slices.Equal(order, []int{0, 212, 424, 5}) {
		t.Errorf("%v, %v, order %v", err, v, order)
	}
	for refuse = range 600 {
		if refuse%100 != 50 {
			continue
		}
		order = nil
		v := vars()
		err := c.Write(t.Context(), v)
		var e *Error
		if err != nil || !errors.As(v[0].Err, &e) || e.Code != ReturnAddress || e.Written != refuse/212*212 || e.MayHaveHappened() != (refuse >= 212) || v[1].Err != nil {
			t.Errorf("refused at %d: %v, %+v", refuse, err, v)
		}
		if slices.Contains(order, refuse/212*212+212) {
			t.Errorf("refused at %d: written behind it: %v", refuse, order)
		}
	}
}

// The connection ends in the middle of a variable in pieces: it may have happened.
func TestClientWriteInPiecesThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withWays(t, "pipe", Config{Timeout: plenty}, plcWays{pdu: 240}, func(p *fakePLC) {
			if pdu, ok := p.next(); ok {
				p.reply(answerOf(&pdu))
			}
			time.Sleep(time.Second) // the fake clock's
		})
		vars := []Var{{Item: Bytes(AreaDB, 1, 0, 600), Data: make([]byte, 600)}, {Item: Bytes(AreaDB, 2, 0, 1), Data: []byte{1}}}
		err := c.Write(t.Context(), vars)
		var first, second *Error
		if !errors.Is(err, net.ErrClosed) || !errors.As(vars[0].Err, &first) || !errors.As(vars[1].Err, &second) ||
			!first.MayHaveHappened() || first.Written != 212 || second.MayHaveHappened() || !second.Retryable() {
			t.Errorf("%v, %+v", err, vars)
		}
	})
}

// A PLC that refuses and hangs up has not been asked for the parts.
func TestClientSearchMeetsTheEnd(t *testing.T) {
	for _, writes := range []bool{false, true} {
		c := withPLC(t, Config{Timeout: plenty}, func(p *fakePLC) {
			if pdu, ok := p.next(); ok {
				p.send(append(EndFrame(AppendRefusal(BeginFrame(nil), pdu.Ref, ErrFrame), 0), 4))
			}
		})
		vars := numbered(10)
		ask := c.Read
		if writes {
			vars, ask = withData(vars), c.Write
		}
		err := ask(t.Context(), vars)
		for i := range vars {
			var e *Error
			if !errors.As(vars[i].Err, &e) || !errors.Is(e, net.ErrClosed) || e.Refused != 0 || !e.Retryable() || !errors.Is(err, net.ErrClosed) {
				t.Errorf("variable %d: %v; %v", i, vars[i].Err, err)
			}
		}
	}
}
