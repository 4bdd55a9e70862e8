//go:build !purego

#include "textflag.h"

// func framePCs(into *[8]uintptr, skip int) int
TEXT ·framePCs(SB), NOSPLIT|NOFRAME, $0-24
	MOVQ into+0(FP), DI
	MOVQ skip+8(FP), CX
	MOVQ (TLS), R9
	MOVQ 0(R9), R10  // g.stack.lo
	MOVQ 8(R9), R11  // g.stack.hi
	SUBQ $16, R11    // the highest place of a saved frame pointer and a return address
	MOVQ BP, SI
	XORQ AX, AX

loop:
	CMPQ SI, R10 // R10 is the last frame pointer that was followed: the chain goes up
	JLS  done
	CMPQ SI, R11
	JHI  done
	MOVQ 8(SI), DX
	MOVQ SI, R10
	MOVQ (SI), SI
	TESTQ CX, CX
	JNE   skipped
	MOVQ  DX, (DI)(AX*8)
	INCQ  AX
	CMPQ  AX, $8
	JNE   loop

done:
	MOVQ AX, ret+16(FP)
	RET

skipped:
	DECQ CX
	JMP  loop
