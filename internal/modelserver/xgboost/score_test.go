package xgboost

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/booster"
)

func load(t testing.TB, name string) *booster.Model {
	t.Helper()
	data, err := os.ReadFile("booster/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := booster.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("booster/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// matches compares with the predictions in an expected file.
func matches(t *testing.T, name string, got []float32, expected []byte) {
	t.Helper()
	want := strings.FieldsFunc(string(expected), func(r rune) bool { return r == ',' || r == '\n' })
	if len(got) != len(want) {
		t.Errorf("%s: %d predictions, want %d", name, len(got), len(want))
		return
	}
	for i, text := range want {
		var v float64
		fmt.Sscan(text, &v)
		if !(math.Abs(v-float64(got[i])) <= 1e-5) {
			t.Errorf("%s: prediction %d is %v, XGBoost says %v", name, i, got[i], v)
			return
		}
	}
}

// forms writes the rows of a CSV without missing words in every other format.
func forms(csv []byte) map[string]struct {
	format
	body []byte
} {
	var libsvm, jsonl, nested, record, delimited, sparse []byte
	for line := range bytes.Lines(csv) {
		fields := bytes.Split(bytes.TrimRight(line, "\n"), []byte{','})
		libsvm = append(libsvm, "1.5"...)
		var list []string
		var values, keys, some []byte
		for i, f := range fields {
			v := math.NaN()
			if len(f) > 0 {
				fmt.Sscan(string(f), &v)
				libsvm = fmt.Appendf(libsvm, "  %d:%s", i, f)
				keys = binary.AppendUvarint(keys, uint64(i))
				some = binary.LittleEndian.AppendUint32(some, math.Float32bits(float32(v)))
				list = append(list, string(f))
			} else {
				list = append(list, "null")
			}
			values = binary.LittleEndian.AppendUint32(values, math.Float32bits(float32(v)))
		}
		libsvm = append(libsvm, '\n')
		row := strings.Join(list, " , ")
		jsonl = fmt.Appendf(jsonl, "[%s]\r\n", row)
		nested = fmt.Appendf(nested, `{"id": {"x": [1]}, "data": {"features": {"values": [%s]}}}`+"\n", row)
		record = frame(record, message(field(1, values)))
		sparse = frame(sparse, message(field(1, some), field(2, keys), field(3, []byte{8})))
		delimited = append(append(delimited, bytes.ReplaceAll(bytes.TrimRight(line, "\n"), []byte{','}, []byte(" ;"))...), '\r', '\n')
	}
	type form = struct {
		format
		body []byte
	}
	return map[string]form{"csv": {formatCSV, csv}, "libsvm": {formatLibSVM, libsvm}, "lists": {formatJSONLines, jsonl},
		"nested": {formatJSONLines, nested}, "dense record": {formatRecordIO, record}, "sparse record": {formatRecordIO, sparse},
		"semicolons, spaces, CRLF": {formatCSV, delimited}}
}

// field is a length-delimited protobuf field.
func field(number int, data []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(number)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}

// message is an aialgs.data.Record with a Float32Tensor as feature "values".
func message(tensor ...[]byte) []byte {
	entry := append(field(1, []byte("values")), field(2, field(2, bytes.Join(tensor, nil)))...)
	return field(1, entry)
}

func frame(dst, data []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, recordIOMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(data)))
	return append(append(dst, data...), make([]byte, (4-len(data)%4)%4)...)
}

// TestEveryFormat predicts the same rows from every content type.
func TestEveryFormat(t *testing.T) {
	t.Parallel()
	csv := read(t, "numeric.csv")
	for _, model := range []string{"binary", "softprob", "linear"} {
		m, expected := load(t, model+".json"), read(t, model+".expected.csv")
		for name, form := range forms(csv) {
			got, err := score(m, form.format, form.body, 2)
			if err != nil {
				t.Errorf("%s, %s: %v", model, name, err)
				continue
			}
			matches(t, model+", "+name, got, expected)
		}
	}
}

// TestPartsGiveTheSame: a body that is long enough to be cut answers as its rows
// do one by one, and a bad row is numbered within the whole body.
func TestPartsGiveTheSame(t *testing.T) {
	t.Parallel()
	m := load(t, "binary.json")
	csv := bytes.Repeat(read(t, "numeric.csv"), 80)
	if len(csv) < 5*segmentBytes {
		t.Fatalf("only %d bytes", len(csv))
	}
	whole, err := score(m, formatCSV, csv, 1)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := score(m, formatCSV, csv, 5)
	if err != nil || len(parts) != 80*150 {
		t.Fatal(len(parts), err)
	}
	for i := range whole {
		if whole[i] != parts[i] {
			t.Fatalf("row %d differs", i+1)
		}
	}
	broken := append(bytes.Clone(csv), "1,2,3,4,five,6,7,8\n1,2,x\n"...)
	_, err = score(m, formatCSV, broken, 5)
	if want := `row 12001, column 5: "five" is not a number`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestRowsThatAreTaken(t *testing.T) {
	t.Parallel()
	m := load(t, "regression.json") // 8 features
	want, err := score(m, formatCSV, []byte("1.5,,-2,,,,,\n"), 1)
	if err != nil {
		t.Fatal(err)
	}
	tensor64 := field(1, append(field(1, []byte("values")), field(2, field(3, field(1, floats64(1.5, math.NaN(), -2))))...))
	for _, c := range []struct {
		f    format
		body string
	}{
		{formatCSV, "1.5,NaN,-2,nan,-nan,,,"}, {formatCSV, "1.5,,-2"}, {formatCSV, "\n \r\n1.5,, -2 \r\n\n"},
		{formatCSV, "1.5\t\t-2"}, {formatCSV, "1.5;;-2"}, {formatCSV, "1.5||-2"}, {formatCSV, "+15e-1,,-2.0"},
		{formatLibSVM, "0:1.5 2:-2"}, {formatLibSVM, "1 qid:3 2:-2 0:1.5 1:nan # note 3:4"}, {formatLibSVM, "0\t0:1.5\t2:-2\r\n"},
		{formatJSONLines, `[1.5, null, -2]`}, {formatJSONLines, `{"features": [1.5, NaN, -2.0]}`},
		{formatJSONLines, `{"a": [{}], "data": {"b": 1, "features": {"values": [1.5, null, -2, null]}}} `},
		{formatRecordIO, string(message(field(1, floats32(1.5, float32(math.NaN()), -2))))}, // no frame: SingleRecord
		{formatRecordIO, string(frame(nil, tensor64))},
		{formatRecordIO, string(frame(nil, message(field(1, floats32(-2, 1.5)), field(2, []byte{2, 0}))))},
		{formatRecordIO, string(frame(nil, append(message(field(1, floats32(1.5)), []byte{0x0d, 0, 0, 0xc0, 0x7f}, []byte{0x0d, 0, 0, 0, 0xc0}), field(3, []byte("id"))...)))},
	} {
		got, err := score(m, c.f, []byte(c.body), 1)
		if err != nil || len(got) != 1 || got[0] != want[0] {
			t.Errorf("%q: %v, %v, want %v", c.body, got, err, want)
		}
	}
}

func floats32(list ...float32) (out []byte) {
	for _, v := range list {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return out
}

func floats64(list ...float64) (out []byte) {
	for _, v := range list {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	return out
}

// TestMultipartRecord joins the parts of a record whose bytes contain the magic
// number (RF-2), and takes a last frame without its padding (RF-4).
func TestMultipartRecord(t *testing.T) {
	t.Parallel()
	magic := math.Float32frombits(recordIOMagic)
	if magic != magic {
		t.Fatal("the magic number is NaN")
	}
	plain := message(field(1, floats32(1, magic, 2)))
	at := bytes.Index(plain, floats32(magic))
	var parts []byte
	for i, p := range [][]byte{plain[:at], plain[at+4:]} {
		parts = binary.LittleEndian.AppendUint32(parts, recordIOMagic)
		parts = binary.LittleEndian.AppendUint32(parts, uint32(len(p))|uint32(1+2*i)<<29)
		parts = append(parts, p...)
		if i == 0 {
			parts = append(parts, make([]byte, (4-len(p)%4)%4)...)
		}
	}
	m := load(t, "regression.json")
	want, err := score(m, formatRecordIO, plain, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := score(m, formatRecordIO, parts, 1)
	if err != nil || got[0] != want[0] || len(got) != 1 {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

func TestBadRows(t *testing.T) {
	t.Parallel()
	m := load(t, "regression.json") // 8 features
	for _, c := range []struct {
		f    format
		body string
		want string
	}{
		{formatCSV, "\n \n", "no rows"},
		{formatCSV, "1,2\n1,2,3\n", "row 2: it has 3 columns, but the first row has 2"},
		{formatCSV, "1,2\n1\n", "row 2: it has 1 columns, but the first row has 2"},
		{formatCSV, "1,2\n\n1,2\n", "row 2: the line is blank"},
		{formatCSV, "1,2,3,4,5,6,7,8,9\n", "row 1: it has 9 columns, but the model was trained with 8 features"},
		{formatCSV, "1,2\n3,abc\n", `row 2, column 2: "abc" is not a number`},
		{formatCSV, "carat,price\n3,4\n", `row 1, column 1: "carat" is not a number`},
		{formatCSV, "1,0x10\n", `row 1, column 2: "0x10" is not a number`},
		{formatCSV, "1,1e39\n", `row 1, column 2: "1e39" is too large`},
		{formatCSV, "1,inf\n", "not a number"},
		{formatCSV, `"1",2` + "\n", "not a number"},
		{formatCSV, strings.Repeat("x", 100), `column 1: "` + strings.Repeat("x", 40) + `"... is not a number`},
		{formatLibSVM, "1 0:1\n0:1 8:1\n", "row 2: it has 9 columns, but the model was trained with 8 features"},
		{formatLibSVM, "0:1 1:b", `row 1, column 2: "b" is not a number`},
		{formatLibSVM, "0:1 5", `"5" is not index:value`},
		{formatLibSVM, "-1:5", "not index:value"},
		{formatLibSVM, ":5", "not index:value"},
		{formatLibSVM, "99999999999999999999:5", "not index:value"},
		{formatLibSVM, "0:", "not a number"},
		{formatLibSVM, "0:1 1:-inf", "not a number"},
		{formatLibSVM, "1,2,3", "not index:value"},
		{formatJSONLines, "[1]\n[1,\"a\"]", "row 2, column 2: not a number"},
		{formatJSONLines, "[1,2", "column 2: a comma or ] is missing"},
		{formatJSONLines, "[1] [2]", "more text behind the row"},
		{formatJSONLines, "[1,2,3,4,5,6,7,8,9]", "more than the 8 features"},
		{formatJSONLines, `{"instances": [1]}`, "no list of numbers"},
		{formatJSONLines, `{"features": {"values": [1]}}`, "no list of numbers"},
		{formatJSONLines, `{"features": [1], "features": [2]}`, "no list of numbers"},
		{formatJSONLines, `7`, "no list of numbers"},
		{formatJSONLines, "[1e39]", "too large"},
		{formatRecordIO, string(frame(nil, nil)), `row 1: the record has no feature "values"`},
		{formatRecordIO, "\x0a\x23\xd7\xce\xff\x00\x00\x00abc", "cut off"},
		{formatRecordIO, string(frame(frame(nil, message(field(1, floats32(1)))), []byte{0xff})), "row 2: it is not a Record"},
		{formatRecordIO, string(frame(nil, message(field(1, floats32(1)))))[:20] + "garbage", "row 1"},
		{formatRecordIO, string(message(field(1, make([]byte, 36)))), "9 columns"},
		{formatRecordIO, string(message(field(1, floats32(1)), field(2, []byte{8}))), "key 8"},
		{formatRecordIO, string(message(field(1, floats32(1)), field(2, []byte{1, 2}))), "2 keys for 1 values"},
		{formatRecordIO, string(message(field(3, []byte{9}))), "shape has 9"},
		{formatRecordIO, string(message(field(1, []byte{1}))), "broken"},
		{formatRecordIO, string(message(field(1, floats32(float32(math.Inf(1)))))), "infinite"},
		{formatRecordIO, "\x0a\x23\xd7\xce\x00\x00\x00\x40", "starts with part 2"},
		{formatRecordIO, "\x0a\x23\xd7\xce\x00\x00\x00\x20\x0a\x23\xd7\xce\x00\x00\x00\x00", "part 0 follows"},
	} {
		got, err := score(m, c.f, []byte(c.body), 1)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.50q: %v, %v, want an error with %q", c.body, got, err, c.want)
		}
	}
}

// TestNoAllocationPerRow: ten times the rows take no more allocations.
func TestNoAllocationPerRow(t *testing.T) {
	m := load(t, "binary.json")
	out := make([]float32, 0, 2000)
	for name, form := range forms(read(t, "numeric.csv")) {
		count := func(times int) float64 {
			body := bytes.Repeat(form.body, times)
			head := newCSV(body)
			return testing.AllocsPerRun(3, func() {
				r := reader(form.format, head, body)
				if form.format == formatRecordIO {
					r = &recordRows{rest: body}
				}
				if _, err := run(m, r, out); err != nil {
					t.Fatal(err)
				}
			})
		}
		if one, ten := count(1), count(10); ten > one {
			t.Errorf("%s: %v allocations for 150 rows, %v for 1,500", name, one, ten)
		}
	}
}

func FuzzScore(f *testing.F) {
	m := load(f, "softprob.json")
	for name, form := range forms(read(f, "numeric.csv")[:120]) {
		_ = name
		f.Add(byte(form.format), form.body)
	}
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		out, err := score(m, format(kind%4), body, 2)
		if err == nil && (len(out) == 0 || len(out)%m.Outputs() != 0) {
			t.Errorf("%d predictions", len(out))
		}
	})
}

func BenchmarkScoreCSV(b *testing.B) {
	m, body := demoModel(b), unzip(b, "diamonds.csv.gz")
	rows := bytes.Count(body, []byte{'\n'})
	for _, parallel := range []int{1, 2} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := score(m, formatCSV, body, parallel); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
