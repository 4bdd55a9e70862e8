// Command callback has contexts made below C code that keeps something else than a frame pointer in the register for it.
package main

/*
extern void goCallback(void);

static void callWith(unsigned long v) {
	__asm__ volatile(
		"push %%rbp\n\t"
		"sub $8, %%rsp\n\t"
		"mov %0, %%rbp\n\t"
		"call goCallback\n\t"
		"add $8, %%rsp\n\t"
		"pop %%rbp\n\t"
		:: "r"(v) : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
}
*/
import "C"

import (
	"context"
	"fmt"

	"millrace/ctxguard"
)

var (
	guard *ctxguard.Guard
	keep  context.CancelFunc
)

//export goCallback
func goCallback() { _, keep = guard.WithCancel(context.Background()) }

func main() {
	guard, _ = ctxguard.New(ctxguard.Config{})
	for _, v := range []C.ulong{0, 1, 0x10, 0x7fffffffffffff00, 0xfffffffffffffff0, 0xc000100000} {
		C.callWith(v)
		keep()
		C.callWith(v)
	}
	for _, s := range guard.Summary().Sites {
		for _, f := range s.AllocStack {
			fmt.Println(f)
		}
	}
}
