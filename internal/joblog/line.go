package joblog

import (
	"bytes"
	"crypto/cipher"
	"time"
	"unicode/utf8"
)

// stampLayout is the time of a line, in UTC, with microseconds.
const stampLayout = "2006-01-02T15:04:05.000000Z"

// lineBytes is the longest text of a line: what is longer is cut into several.
// cleaning can make a text up to three times as long.
const lineBytes = 32 << 10

// longestLine bounds a line on disk, sealed or not.
const longestLine = len(stampLayout) + 128 + 4*lineBytes

// appendLine writes a line as it is on disk; an aead seals it.
func appendLine(dst []byte, at Position, text []byte, aead cipher.AEAD) []byte {
	text = clean(text)
	if aead != nil {
		text = seal(aead, at, text)
	}
	dst = at.Time().AppendFormat(dst, stampLayout)
	dst = append(append(dst, ' '), text...)
	return append(dst, '\n')
}

// parseLine reads a line with its newline. What is none, such as one that a crash
// cut short, is not ok.
func parseLine(line []byte) (at Position, text []byte, ok bool) {
	n := len(stampLayout)
	if len(line) < n+2 || line[n] != ' ' || line[len(line)-1] != '\n' {
		return 0, nil, false
	}
	t, err := time.Parse(stampLayout, string(line[:n]))
	if err != nil {
		return 0, nil, false
	}
	return At(t), line[n+1 : len(line)-1], true
}

// clean makes a line safe to show in a terminal: control characters other than
// the tab, and bytes that are not UTF-8, become the replacement character.
func clean(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\r"))
	if utf8.Valid(b) && bytes.IndexFunc(b, isControl) < 0 {
		return b
	}
	return bytes.Map(func(r rune) rune {
		if isControl(r) {
			return utf8.RuneError
		}
		return r
	}, b)
}

func isControl(r rune) bool { return (r < ' ' && r != '\t') || (r >= 0x7F && r < 0xA0) }

// cut finds where a text that is too long is cut: not inside a character.
func cut(text []byte) int {
	for n := lineBytes; n > lineBytes-utf8.UTFMax; n-- {
		if utf8.RuneStart(text[n]) {
			return n
		}
	}
	return lineBytes
}
