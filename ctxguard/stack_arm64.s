#include "textflag.h"

// func framePCs(into *[8]uintptr, skip int) int
TEXT ·framePCs(SB), NOSPLIT|NOFRAME, $0-24
	MOVD into+0(FP), R0
	MOVD skip+8(FP), R1
	MOVD R29, R2
	MOVD ZR, R3

loop:
	CBZ  R2, done
	MOVD 8(R2), R4
	MOVD (R2), R5
	CBNZ R1, skipped
	MOVD R4, (R0)(R3<<3)
	ADD  $1, R3
	CMP  $8, R3
	BEQ  done
	B    next

skipped:
	SUB $1, R1

next:
	CMP  R2, R5
	BLS  done
	MOVD R5, R2
	B    loop

done:
	MOVD R3, ret+16(FP)
	RET
