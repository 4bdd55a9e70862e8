package s7

import (
	"errors"
	"testing"
)

// fewAtOnce answers the first items of a request, at most as many as it is given, as if the rest had not been asked for.
func fewAtOnce(most int) func(p *fakePLC) {
	return func(p *fakePLC) {
		for {
			pdu, ok := p.next()
			if !ok {
				return
			}
			var read ReadRequest
			var write WriteRequest
			switch {
			case read.Decode(&pdu) == 0 && len(read.Items) > most:
				read.Items = read.Items[:most]
				pdu.Param = (&ReadRequest{Items: read.Items}).AppendTo(nil, pdu.Ref)[jobHeader:]
			case write.Decode(&pdu) == 0 && len(write.Items) > most:
				b := (&WriteRequest{Items: write.Items[:most], Data: write.Data[:most]}).AppendTo(nil, pdu.Ref)
				cut, err := DecodePDU(b)
				if err != nil {
					p.t.Error(err)
				}
				pdu = cut
			}
			if !p.reply(answerOf(&pdu)) {
				return
			}
		}
	}
}

func manyItems(n int) []Item {
	items := make([]Item, n)
	for i := range items {
		items[i] = Bytes(AreaDB, 1, uint32(3*i), 2)
	}
	return items
}

// A server that answers the first 20 of 30 items costs one request, and teaches the limit.
func TestClientReadsWhatIsCutShort(t *testing.T) {
	learned, refused := 0, 0
	c := withPLC(t, Config{Timeout: plenty, Hooks: Hooks{
		Learned: func(n int) { learned = n },
		Refused: func(f Function, code ErrorCode, items int) {
			if refused++; f != FuncRead || code != ErrFrame || items != 30 {
				t.Errorf("refused: %v, %v, %d items", f, code, items)
			}
		},
	}}, fewAtOnce(20))
	wantTruth(t, c, manyItems(30)...)
	if learned != 20 || refused != 1 {
		t.Errorf("%d learned, %d refused", learned, refused)
	}
	before := c.Stats().Sent
	wantTruth(t, c, manyItems(30)...)
	if n := c.Stats().Sent - before; n != 2 || refused != 1 {
		t.Errorf("%d requests once the limit is known, %d refused", n, refused)
	}
}

// Any other number of items is no answer to the request, nor is one to a write.
func TestClientTrustsNoOtherNumberOfItems(t *testing.T) {
	ask := func(name string, most int, do func(c *Client, vars []Var) error) {
		c := withPLC(t, Config{Timeout: plenty}, fewAtOnce(most))
		vars := make([]Var, 30)
		for i, it := range manyItems(30) {
			vars[i] = Var{Item: it, Data: make([]byte, 0, 2)}
		}
		var foreign *ForeignError
		if err := do(c, vars); !errors.As(err, &foreign) || foreign.Why != "items" {
			t.Errorf("%s: %v", name, err)
		}
	}
	ask("19 of 30 read", 19, func(c *Client, vars []Var) error { return c.Read(t.Context(), vars) })
	ask("20 of 30 written", 20, func(c *Client, vars []Var) error {
		for i := range vars {
			vars[i].Data = vars[i].Data[:2]
		}
		return c.Write(t.Context(), vars)
	})
}
