package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// cpuSeconds returns the CPU time that process pid has used, user and system, to the nanosecond: /proc/PID/stat counts in hundredths of a second, of which a
// run of a second on a fast server has few.
func cpuSeconds(pid int) (float64, error) {
	const scheduled = 2 // CPUCLOCK_SCHED, as in clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return float64(t.Nano()) / 1e9, nil
}

// ownCPU is the CPU time of this process, all its threads.
func ownCPU() time.Duration {
	s, err := cpuSeconds(os.Getpid())
	if err != nil {
		panic(err) // there is no Linux on which a process may not ask for its own
	}
	return time.Duration(s * 1e9)
}
