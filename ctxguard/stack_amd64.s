#include "textflag.h"

// func framePCs(into *[8]uintptr, skip int) int
TEXT ·framePCs(SB), NOSPLIT|NOFRAME, $0-24
	MOVQ into+0(FP), DI
	MOVQ skip+8(FP), CX
	MOVQ BP, SI
	XORQ AX, AX

loop:
	TESTQ SI, SI
	JEQ   done
	MOVQ  8(SI), DX
	MOVQ  (SI), R8
	TESTQ CX, CX
	JNE   skipped
	MOVQ  DX, (DI)(AX*8)
	INCQ  AX
	CMPQ  AX, $8
	JEQ   done
	JMP   next

skipped:
	DECQ CX

next:
	CMPQ R8, SI
	JLS  done
	MOVQ R8, SI
	JMP  loop

done:
	MOVQ AX, ret+16(FP)
	RET
