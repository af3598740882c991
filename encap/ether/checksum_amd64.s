#include "textflag.h"

// Loaded at n, of 0 to 32, this masks all but the last n bytes of a vector.
DATA lastBytes<>+32(SB)/8, $-1
DATA lastBytes<>+40(SB)/8, $-1
DATA lastBytes<>+48(SB)/8, $-1
DATA lastBytes<>+56(SB)/8, $-1
GLOBL lastBytes<>(SB), RODATA|NOPTR, $64

// ADD adds the 32-bit words of v to the four 64-bit lanes of acc, the even ones
// and then the odd ones, so that their carries gather in the upper halves. Y15
// is zero, and w is lost.
#define ADD(v, w, acc) \
	VPSRLQ   $32, v, w;        \
	VPBLENDD $0xaa, Y15, v, v; \
	VPADDQ   v, acc, acc;      \
	VPADDQ   w, acc, acc

// func sumVector(b []byte) uint64
//
// What 32 bytes a step leave over is within the last 32 bytes, which are loaded
// once more with those masked that have been summed.
TEXT ·sumVector(SB), NOSPLIT, $0-32
	MOVQ  b_base+0(FP), SI
	MOVQ  b_len+8(FP), CX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y15, Y15, Y15
	XORL  AX, AX
	BTRQ  $0, CX
	JCC   even
	MOVBLZX (SI)(CX*1), AX // the odd last byte, low in its word

even:
	SUBQ $128, CX
	JLT  short

loop128:
	VMOVDQU 0(SI), Y4
	VMOVDQU 32(SI), Y6
	VMOVDQU 64(SI), Y8
	VMOVDQU 96(SI), Y10
	ADD(Y4, Y5, Y0)
	ADD(Y6, Y7, Y1)
	ADD(Y8, Y9, Y2)
	ADD(Y10, Y11, Y3)
	ADDQ    $128, SI
	SUBQ    $128, CX
	JGE     loop128

short:
	ADDQ $96, CX
	JLT  last

loop32:
	VMOVDQU (SI), Y4
	ADD(Y4, Y5, Y0)
	ADDQ    $32, SI
	SUBQ    $32, CX
	JGE     loop32

last:
	ADDQ    $32, CX // 0 to 30 bytes are left
	JEQ     reduce
	LEAQ    lastBytes<>(SB), DX
	VMOVDQU (DX)(CX*1), Y4
	VPAND   -32(SI)(CX*1), Y4, Y4
	ADD(Y4, Y5, Y1)

reduce:
	VPADDQ       Y1, Y0, Y0
	VPADDQ       Y3, Y2, Y2
	VPADDQ       Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDQ       X1, X0, X0
	VPSRLDQ      $8, X0, X1
	VPADDQ       X1, X0, X0
	VMOVQ        X0, DX
	VZEROUPPER
	ADDQ         DX, AX
	MOVQ         AX, ret+24(FP)
	RET
