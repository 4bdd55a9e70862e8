package modbus

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"
)

// Clients that share what requests need get each the answers of their own device, and none of another's.
func TestTurnsAreShared(t *testing.T) {
	const clients, reads = 8, 200
	shared := &Turns{}
	var wg sync.WaitGroup
	for n := range byte(clients) {
		own := bytes.Repeat([]byte{n}, 20)
		c := overTCP(t, Config{Timeout: time.Minute, Turns: shared}, steadyPeer(Frame{PDU: (&ReadHoldingResponse{Data: own}).AppendTo(nil)}))
		wg.Go(func() {
			calls := []Call{{Unit: 1, Function: FuncReadHolding, Quantity: 10}}
			for range reads {
				calls[0].Data = calls[0].Data[:0]
				if err := c.Do(context.Background(), calls); err != nil || !bytes.Equal(calls[0].Data, own) {
					t.Errorf("client %d has %x, %v", n, calls[0].Data, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
