#include "textflag.h"

// Loaded at n, of 0 to 16, this masks all but the last n bytes of a vector.
DATA lastBytes<>+16(SB)/8, $-1
DATA lastBytes<>+24(SB)/8, $-1
GLOBL lastBytes<>(SB), RODATA|NOPTR, $32

// SUM adds the 32-bit words of v to the 64-bit lanes of acc and of acc2, whose
// upper halves gather the carries.
#define SUM(v, acc, acc2) \
	VUADDW  v.S2, acc.D2, acc.D2; \
	VUADDW2 v.S4, acc2.D2, acc2.D2

// func sumVector(b []byte) uint64
//
// What 16 bytes a step leave over is within the last 16 bytes, which are loaded
// once more with those masked that have been summed.
TEXT ·sumVector(SB), NOSPLIT, $0-32
	MOVD b_base+0(FP), R0
	MOVD b_len+8(FP), R1
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16
	MOVD ZR, R2
	TBZ  $0, R1, even
	SUB  $1, R1
	MOVBU (R0)(R1), R2 // the odd last byte, low in its word

even:
	SUBS $64, R1
	BLT  short

loop64:
	FLDPQ 0(R0), (F4, F5)  // V4 and V5
	FLDPQ 32(R0), (F6, F7) // V6 and V7
	SUM(V4, V0, V1)
	SUM(V5, V2, V3)
	SUM(V6, V0, V1)
	SUM(V7, V2, V3)
	ADD   $64, R0
	SUBS  $64, R1
	BGE   loop64

short:
	ADDS $48, R1
	BLT  last

loop16:
	VLD1.P 16(R0), [V4.B16]
	SUM(V4, V0, V1)
	SUBS   $16, R1
	BGE    loop16

last:
	ADDS $16, R1 // 0 to 14 bytes are left
	BEQ  reduce
	MOVD $lastBytes<>(SB), R3
	ADD  R1, R3
	VLD1 (R3), [V5.B16]
	SUB  $16, R1
	ADD  R1, R0
	VLD1 (R0), [V4.B16]
	VAND V5.B16, V4.B16, V4.B16
	SUM(V4, V2, V3)

reduce:
	VADD V1.D2, V0.D2, V0.D2
	VADD V3.D2, V2.D2, V2.D2
	VADD V2.D2, V0.D2, V0.D2
	VMOV V0.D[0], R3
	VMOV V0.D[1], R4
	ADD  R3, R2
	ADD  R4, R2
	MOVD R2, ret+24(FP)
	RET
