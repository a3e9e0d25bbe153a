package xgboost

import (
	"bytes"
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/booster"
)

// A rowReader takes rows out of a request body, one after the other, without an
// allocation for a row. It belongs to one goroutine.
type rowReader interface {
	// next reads one row into the block, whose row has been begun. It reports
	// false at the end. After an error, which is a *badRow without its number,
	// it is not called again.
	next(b *booster.Block) (bool, error)
}

// A badRow says which row of a request cannot be predicted and why. Rows count
// from 1, blank lines at the start of the body not among them.
type badRow struct {
	row    int
	column int // from 1; 0 when the whole row is at fault
	text   string
}

func (e *badRow) Error() string {
	if e.column == 0 {
		return fmt.Sprintf("row %d: %s", e.row, e.text)
	}
	return fmt.Sprintf("row %d, column %d: %s", e.row, e.column, e.text)
}

func bad(format string, args ...any) error { return &badRow{text: fmt.Sprintf(format, args...)} }

func badColumn(column int, format string, args ...any) error {
	return &badRow{column: column, text: fmt.Sprintf(format, args...)}
}

// shown is a piece of a request that is short enough for an error.
func shown(b []byte) string {
	const most = 40
	if len(b) > most {
		return fmt.Sprintf("%q...", b[:most])
	}
	return fmt.Sprintf("%q", b)
}

// tooWide is the error for a row with more columns than the model. XGBoost
// refuses it; a shorter row is one whose last values are missing.
func tooWide(columns, features int) error {
	return bad("it has %d columns, but the model was trained with %d features", columns, features)
}

// setNumber gives the row's feature a value that a request wrote as text. XGBoost
// refuses infinite values, and so does this.
func setNumber(b *booster.Block, feature int, v float32, text []byte) error {
	if math.IsInf(float64(v), 0) {
		return badColumn(feature+1, "%s is too large for a float32", shown(text))
	}
	b.Set(feature, v)
	return nil
}

// trimBlankLines drops the blank lines at both ends of a text, as AWS's
// container does. A blank line between rows stays, and is an error later: if
// it were passed over, the answers would no longer stand beside their rows.
func trimBlankLines(text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\n')
		if i < 0 || !isBlank(text[:i]) {
			break
		}
		text = text[i+1:]
	}
	for {
		i := bytes.LastIndexByte(text, '\n')
		if i < 0 || !isBlank(text[i+1:]) {
			break
		}
		text = text[:i]
	}
	if isBlank(text) {
		return nil
	}
	return text
}

func isBlank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// lines hands out the lines of a text without their ends.
type lines struct{ rest []byte }

// next returns a line that is not blank; ok is false at the end of the text.
func (l *lines) next() (line []byte, ok bool, err error) {
	if len(l.rest) == 0 {
		return nil, false, nil
	}
	i := bytes.IndexByte(l.rest, '\n')
	if i < 0 {
		line, l.rest = l.rest, nil
	} else {
		line, l.rest = l.rest[:i], l.rest[i+1:]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if isBlank(line) {
		return nil, false, bad("the line is blank")
	}
	return line, true, nil
}
