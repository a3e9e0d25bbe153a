package xgboost

import (
	"bytes"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/booster"
	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/scan"
)

// csvRows reads text/csv: numbers, no header, no label. An empty field and nan
// in any case are missing values. All rows of a request have the same number
// of fields. There are no quotes, since a number needs none.
type csvRows struct {
	lines     lines
	delimiter byte
	fields    int // of the request's first row
}

// newCSV looks at the first line of a body for its delimiter: a comma if there
// is one, else the first of tab, semicolon, bar and space that occurs.
func newCSV(text []byte) csvRows {
	first, _, _ := bytes.Cut(text, []byte{'\n'})
	first = bytes.Trim(first, " \r")
	r := csvRows{delimiter: ','}
	for _, c := range []byte(",\t;| ") {
		if bytes.IndexByte(first, c) >= 0 {
			r.delimiter = c
			break
		}
	}
	r.fields = 1 + bytes.Count(first, []byte{r.delimiter})
	return r
}

func (r *csvRows) next(b *booster.Block) (bool, error) {
	line, ok, err := r.lines.next()
	if !ok {
		return false, err
	}
	if r.delimiter == ' ' {
		line = bytes.Trim(line, " ")
	}
	if r.fields > b.Features() {
		return false, tooWide(r.fields, b.Features())
	}
	column := 0
	for {
		if column == r.fields {
			return false, bad("it has %d columns, but the first row has %d", column+1+bytes.Count(line, []byte{r.delimiter}), r.fields)
		}
		n, err := r.field(b, column, line)
		if err != nil {
			return false, err
		}
		column++
		if n == len(line) {
			break
		}
		line = line[n+1:]
	}
	if column < r.fields {
		return false, bad("it has %d columns, but the first row has %d", column, r.fields)
	}
	return true, nil
}

// field reads the field at the start of text and returns its length. A number
// that ends where the field ends is the fast case.
func (r *csvRows) field(b *booster.Block, column int, text []byte) (int, error) {
	v, n := scan.Float(text)
	if n > 0 && (n == len(text) || text[n] == r.delimiter) {
		return n, setNumber(b, column, v, text[:n])
	}
	end := bytes.IndexByte(text, r.delimiter)
	if end < 0 {
		end = len(text)
	}
	word := bytes.Trim(text[:end], " \t")
	if len(word) == 0 || isNaN(word) {
		return end, nil
	}
	v, n = scan.Float(word)
	if n != len(word) {
		return 0, badColumn(column+1, "%s is not a number", shown(word))
	}
	return end, setNumber(b, column, v, word)
}

func isNaN(word []byte) bool {
	if len(word) == 4 && (word[0] == '+' || word[0] == '-') {
		word = word[1:]
	}
	return len(word) == 3 && word[0]|0x20 == 'n' && word[1]|0x20 == 'a' && word[2]|0x20 == 'n'
}
