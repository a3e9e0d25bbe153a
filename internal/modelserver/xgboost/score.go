package xgboost

import (
	"bytes"
	"errors"
	"runtime"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/booster"
)

// A format is how a request's body tells its rows.
type format int

const (
	formatCSV format = iota
	formatLibSVM
	formatJSONLines
	formatRecordIO
)

// segmentBytes is about the least text that is worth a goroutine of its own.
const segmentBytes = 128 << 10

var errNoRows = errors.New("the body holds no rows")

// score predicts all rows of a body, in their order. A long text is cut at line
// ends and its parts are parsed and predicted at once, at most parallel of
// them. An error about a row is a *badRow; of several it is the first.
func score(m *booster.Model, f format, body []byte, parallel int) ([]float32, error) {
	if f == formatRecordIO {
		return run(m, &recordRows{rest: body}, nil)
	}
	body = trimBlankLines(body)
	if len(body) == 0 {
		return nil, errNoRows
	}
	head := csvRows{}
	if f == formatCSV {
		head = newCSV(body)
	}
	parts := cut(body, min(parallel, max(len(body)/segmentBytes, 1)))
	answers, errs := make([][]float32, len(parts)), make([]error, len(parts))
	var group sync.WaitGroup
	for i, part := range parts {
		work := func() { answers[i], errs[i] = run(m, reader(f, head, part), nil) }
		if i == len(parts)-1 {
			work()
		} else {
			group.Go(work)
		}
	}
	group.Wait()
	return join(m.Outputs(), answers, errs)
}

func reader(f format, head csvRows, text []byte) rowReader {
	switch f {
	case formatCSV:
		head.lines = lines{rest: text}
		return &head
	case formatLibSVM:
		return &libsvmRows{lines{rest: text}}
	default:
		return &jsonRows{lines{rest: text}}
	}
}

// cut divides a text into at most n parts that end with a line each.
func cut(text []byte, n int) [][]byte {
	parts := make([][]byte, 0, n)
	for ; n > 1; n-- {
		at := len(text) / n
		i := bytes.IndexByte(text[at:], '\n')
		if i < 0 {
			break
		}
		parts = append(parts, text[:at+i+1])
		text = text[at+i+1:]
	}
	if len(text) > 0 || len(parts) == 0 {
		parts = append(parts, text)
	}
	return parts
}

// join puts the answers of the parts together. The rows of the parts before a
// bad row count in its number.
func join(width int, answers [][]float32, errs []error) ([]float32, error) {
	rows, total := 0, 0
	for i, a := range answers {
		if errs[i] != nil {
			return nil, numbered(errs[i], rows)
		}
		rows += len(a) / width
		total += len(a)
	}
	if len(answers) == 1 {
		return answers[0], nil
	}
	out := make([]float32, 0, total)
	for _, a := range answers {
		out = append(out, a...)
	}
	return out, nil
}

// run predicts the rows of one reader and appends the predictions to out.
func run(m *booster.Model, r rowReader, out []float32) ([]float32, error) {
	b := m.NewBlock()
	done := 0
	for {
		ok, err := r.next(b)
		if err != nil {
			return nil, numbered(err, done+b.Rows()+1)
		}
		if !ok {
			out = b.Predict(out)
			if len(out) == 0 {
				return nil, errNoRows
			}
			return out, nil
		}
		if b.End() {
			done += b.Rows()
			out = b.Predict(out)
		}
	}
}

// numbered adds to the row number of an error about a row.
func numbered(err error, rows int) error {
	var row *badRow
	if errors.As(err, &row) {
		row.row += rows
	}
	return err
}

// cores is how many requests, or parts of one, are worth running at once.
func cores() int { return runtime.GOMAXPROCS(0) }
