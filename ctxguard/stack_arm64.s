//go:build !purego

#include "textflag.h"

// func framePCs(into *[8]uintptr, skip int) int
TEXT ·framePCs(SB), NOSPLIT|NOFRAME, $0-24
	MOVD into+0(FP), R0
	MOVD skip+8(FP), R1
	MOVD 0(g), R6  // g.stack.lo
	MOVD 8(g), R7  // g.stack.hi
	SUB  $16, R7   // the highest place of a saved frame pointer and a return address
	MOVD R29, R2
	MOVD ZR, R3

loop:
	CMP  R6, R2 // R6 is the last frame pointer that was followed: the chain goes up
	BLS  done
	CMP  R7, R2
	BHI  done
	MOVD 8(R2), R4
	MOVD R2, R6
	MOVD (R2), R2
	CBNZ R1, skipped
	MOVD R4, (R0)(R3<<3)
	ADD  $1, R3
	CMP  $8, R3
	BNE  loop

done:
	MOVD R3, ret+16(FP)
	RET

skipped:
	SUB $1, R1
	B   loop
