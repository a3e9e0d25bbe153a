// Package scan reads numbers and JSON out of bytes, and writes numbers, without
// an allocation for each. A number becomes the float32 nearest to its text.
package scan

import (
	"math"
	"strconv"
	"unsafe"
)

// powers are the powers of ten that float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// A decimal is a number as its digits say it: mantissa times ten to the power.
type decimal struct {
	mantissa uint64
	power    int
	negative bool
	exact    bool // false when the digits did not fit
}

// Float reads a decimal number at the start of b and returns the float32
// nearest to it and the bytes that it took; 0 bytes mean that there is no
// number. A number too large for float32 is infinite.
//
// One correctly rounded float64 operation gives nearly every number. Rounding
// its result again to float32 is safe unless it lies exactly between two
// float32 values or is subnormal there: then strconv decides.
func Float(b []byte) (float32, int) {
	d, n := scanDecimal(b)
	if n == 0 {
		return 0, 0
	}
	if d.exact && d.mantissa < 1<<53 && d.power >= -22 && d.power <= 22 {
		v := float64(d.mantissa)
		if d.power < 0 {
			v /= powers[-d.power]
		} else {
			v *= powers[d.power]
		}
		const half, below = 1 << 28, 1<<29 - 1
		between := math.Float64bits(v)&below == half
		if v == 0 || !between && v >= 0x1p-126 {
			if d.negative {
				v = -v
			}
			return float32(v), n
		}
	}
	// The string lives no longer than the call, and b does not change meanwhile.
	v, _ := strconv.ParseFloat(unsafe.String(&b[0], n), 32)
	return float32(v), n
}

// scanDecimal reads [+-] digits [. digits] [e [+-] digits] with at least one
// digit, as much of it as b starts with.
func scanDecimal(b []byte) (decimal, int) {
	d := decimal{exact: true}
	i := 0
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		d.negative = b[i] == '-'
		i++
	}
	start := i
	for i < len(b) && IsDigit(b[i]) {
		d.digit(b[i])
		i++
	}
	digits := i - start
	if i < len(b) && b[i] == '.' {
		i++
		start = i
		for i < len(b) && IsDigit(b[i]) {
			d.digit(b[i])
			i++
		}
		digits += i - start
		d.power = start - i
	}
	if digits == 0 {
		return decimal{}, 0
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		power, n := scanExponent(b[i+1:])
		if n > 0 {
			i += 1 + n
			d.power += power
		}
	}
	return d, i
}

func (d *decimal) digit(c byte) {
	if d.mantissa > (math.MaxUint64-9)/10 {
		d.exact = false
		return
	}
	d.mantissa = 10*d.mantissa + uint64(c-'0')
}

// scanExponent reads [+-] digits. The value stops growing where it no longer
// matters.
func scanExponent(b []byte) (power, n int) {
	negative := false
	if n < len(b) && (b[n] == '-' || b[n] == '+') {
		negative = b[n] == '-'
		n++
	}
	start := n
	for n < len(b) && IsDigit(b[n]) {
		if power < 100_000 {
			power = 10*power + int(b[n]-'0')
		}
		n++
	}
	if n == start {
		return 0, 0
	}
	if negative {
		power = -power
	}
	return power, n
}

// IsDigit tells the ASCII digits.
func IsDigit(c byte) bool { return c-'0' <= 9 }

// AppendFloat appends the shortest decimal text that reads back as the same
// float32. A whole number keeps a ".0", as in the answers of AWS's container.
// There is an exponent only below 1e-6 and from 1e21 on, and then as in 1e-07.
// NaN and infinities are nan, inf and -inf.
func AppendFloat(dst []byte, v float32) []byte {
	switch {
	case v != v:
		return append(dst, "nan"...)
	case math.IsInf(float64(v), 1):
		return append(dst, "inf"...)
	case math.IsInf(float64(v), -1):
		return append(dst, "-inf"...)
	}
	if size := float32(math.Abs(float64(v))); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.AppendFloat(dst, float64(v), 'e', -1, 32)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, float64(v), 'f', -1, 32)
	for _, c := range dst[start:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, '.', '0')
}
