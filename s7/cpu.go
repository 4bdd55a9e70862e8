package s7

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// CPUConfig is what a CPU is. The zero value is a CPU 1515-2 PN without memory that anybody may read, write and stop, and nobody may program.
type CPUConfig struct {
	Model    Model    // default Model1500
	Identity Identity // fields left zero are the model's

	Memory *Memory // default one without areas and DBs

	// Level is what a client may do without the password: 1, the default, everything; 2 nothing that changes something; 3 nor read variables
	// and blocks. Identification and diagnostics are open always.
	Level    uint8
	Password string // at most 8 bytes, ASCII; default none, and then nobody gets beyond Level

	// Programming lets clients download DBs, link and delete them. Default they are refused, as by a CPU whose switch forbids it.
	Programming bool
	WorkMemory  int // bytes in DBs up to which downloads add more; default 4 MiB

	// OnControl, when set, hears of each start, stop, compress and copy once it is done, from the goroutine of the connection that asked for it.
	OnControl func(what Control, mode Mode)
}

const defaultWorkMemory = 4 << 20

func (c CPUConfig) withDefaults() (CPUConfig, error) {
	if c.Model == 0 {
		c.Model = Model1500
	}
	preset, ok := c.Model.identity()
	if !ok {
		return c, fmt.Errorf("s7: cpu: no such model: %d", c.Model)
	}
	c.Identity = c.Identity.over(&preset)
	if c.Memory == nil {
		c.Memory = new(Memory)
	}
	if c.Level == 0 {
		c.Level = levelOpen
	}
	if c.WorkMemory == 0 {
		c.WorkMemory = defaultWorkMemory
	}
	switch {
	case c.Level > levelRead:
		return c, fmt.Errorf("s7: cpu: Level %d is not within 1 and 3", c.Level)
	case c.WorkMemory < 0:
		return c, fmt.Errorf("s7: cpu: WorkMemory %d is negative", c.WorkMemory)
	case len(c.Password) > passwordBytes:
		return c, errors.New("s7: cpu: Password has more than 8 bytes")
	}
	return c, c.Identity.check()
}

// CPU is a whole PLC: a Memory and what PLCs say and do besides. It is a Handler with all its services:
//
//	cpu, err := s7.NewCPU(s7.CPUConfig{Model: s7.Model300, Memory: memory})
//	server, err := s7.NewServer(s7.ServerConfig{Handler: cpu})
//
// Any goroutine may call its methods.
type CPU struct {
	*Memory
	cfg      CPUConfig
	password [passwordBytes]byte
	offset   atomic.Int64 // of the clock against the machine's, ns
	born     time.Time    // on the PLC's clock

	mu     sync.Mutex // guards what follows; never held while somebody else's code runs
	mode   Mode
	since  time.Time            // on the PLC's clock
	loaded map[uint16]BlockInfo // what is known of DBs that came by download
	fresh  map[uint16]Block     // downloaded, and not linked yet
	rom    map[uint16][]byte    // data of DBs as they were copied to ROM
}

// NewCPU checks cfg and returns a CPU that is in RUN.
func NewCPU(cfg CPUConfig) (*CPU, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := NewPasswordRequest(cfg.Password)
	c := &CPU{Memory: cfg.Memory, cfg: cfg, password: p.Password, mode: ModeRun}
	c.born = c.Now()
	c.since = c.born
	return c, nil
}

// Identity returns what the CPU says of itself.
func (c *CPU) Identity() Identity { return c.cfg.Identity }

// Limits returns the longest PDU and the most jobs in flight that the CPU grants.
func (c *CPU) Limits() (pdu, window int) { return c.cfg.Identity.PDU, c.cfg.Identity.Window }
