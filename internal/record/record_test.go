package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// pack gives every mini-batch of an object as a string.
func pack(src io.Reader, cfg Config, want int) ([]string, error) {
	b := NewBatcher(src, cfg)
	var g Group
	var out []string
	for {
		if err := b.Fill(&g, want); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return out, err
		}
		for i := range g.Ends {
			out = append(out, string(g.Batch(i)))
		}
	}
}

func unhex(t *testing.T, s string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// recordIO and tfRecords frame records for inputs.
func framed(split Split, records ...string) string {
	var b []byte
	for _, r := range records {
		if split == RecordIO {
			b = AppendRecordIO(b, []byte(r))
		} else {
			b = AppendTFRecord(b, []byte(r))
		}
	}
	return string(b)
}

func TestMiniBatches(t *testing.T) {
	t.Parallel()
	magic := "\x0A\x23\xD7\xCE"
	cases := []struct {
		name, rule string
		cfg        Config
		in         string
		want       []string
	}{
		{"whole", "BT-70", Config{Limit: 5}, "ab\nc", []string{"ab\nc"}},
		{"whole at the limit", "BT-77", Config{Limit: 4}, "ab\nc", []string{"ab\nc"}},
		{"whole, empty", "BT-42", Config{Limit: 4}, "", nil},
		{"lines, empty", "BT-42", Config{Split: Line, Limit: 4}, "", nil},
		{"lines", "BT-71", Config{Split: Line, Limit: 6}, "ab\ncd\nef\n", []string{"ab\ncd\n", "ef\n"}},
		{"lines, one byte less", "BT-77", Config{Split: Line, Limit: 5}, "ab\ncd\nef\n", []string{"ab\n", "cd\n", "ef\n"}},
		{"last line without LF", "BT-65", Config{Split: Line, Limit: 6}, "ab\ncd", []string{"ab\ncd"}},
		{"last line alone", "BT-65", Config{Split: Line, Limit: 4}, "ab\ncd", []string{"ab\n", "cd"}},
		{"CR and empty lines stay", "BT-65", Config{Split: Line, Limit: 9}, "a\r\n\n\nb", []string{"a\r\n\n\nb"}},
		{"only an LF", "BT-65", Config{Split: Line, Limit: 9}, "\n", []string{"\n"}},
		{"single lines", "BT-72", Config{Split: Line, Single: true, Limit: 9}, "a\r\n\nb", []string{"a\r\n", "\n", "b"}},
		{"single lines at the limit", "BT-77", Config{Split: Line, Single: true, Limit: 3}, "ab\ncd\nefg", []string{"ab\n", "cd\n", "efg"}},
		{"RecordIO keeps framing", "BT-73", Config{Split: RecordIO, Limit: 100}, framed(RecordIO, "abcde", "f"), []string{framed(RecordIO, "abcde", "f")}},
		{"RecordIO packs by framed size", "BT-77", Config{Split: RecordIO, Limit: 28}, framed(RecordIO, "abcde", "f", "g"), []string{framed(RecordIO, "abcde", "f"), framed(RecordIO, "g")}},
		{"RecordIO single", "BT-74", Config{Split: RecordIO, Single: true, Limit: 5}, framed(RecordIO, "abcde", "", "f"), []string{"abcde", "", "f"}},
		{"RecordIO in parts counts once", "RF-2", Config{Split: RecordIO, Single: true, Limit: 12}, framed(RecordIO, "abcd"+magic+"efg", "x"), []string{"abcd" + magic + "efg", "x"}},
		{"RecordIO in parts keeps framing", "RF-3", Config{Split: RecordIO, Limit: 40}, framed(RecordIO, magic, "x"), []string{framed(RecordIO, magic, "x")}},
		{"RecordIO without last padding", "RF-4", Config{Split: RecordIO, Limit: 40}, framed(RecordIO, "abcde")[:13], []string{framed(RecordIO, "abcde")[:13]}},
		{"TFRecord keeps framing", "BT-73", Config{Split: TFRecord, Limit: 100}, framed(TFRecord, "abcde", ""), []string{framed(TFRecord, "abcde", "")}},
		{"TFRecord framing counts", "RF-13", Config{Split: TFRecord, Limit: 37}, framed(TFRecord, "abcde", "", "f"), []string{framed(TFRecord, "abcde", ""), framed(TFRecord, "f")}},
		{"TFRecord single", "BT-74", Config{Split: TFRecord, Single: true, Limit: 5}, framed(TFRecord, "abcde", "", "f"), []string{"abcde", "", "f"}},
		{"bytes that are no text", "BT-68", Config{Split: Line, Limit: 9}, "\xff\xfe\n\x00", []string{"\xff\xfe\n\x00"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, want := range []int{1, 2, 100} {
				for name, src := range map[string]io.Reader{
					"whole reads": strings.NewReader(c.in),
					"byte reads":  iotest.OneByteReader(strings.NewReader(c.in)),
					"EOF with it": iotest.DataErrReader(strings.NewReader(c.in)),
				} {
					got, err := pack(src, c.cfg, want)
					if err != nil {
						t.Fatalf("%s, want %d: %v", name, want, err)
					}
					if diff := cmp.Diff(c.want, got); diff != "" {
						t.Errorf("%s, groups of %d (%s):\n%s", name, want, c.rule, diff)
					}
				}
			}
		})
	}
}

// RF-6: the published vectors of the framing.
func TestRecordIOVectors(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"abcde":            "0A23D7CE 05000000 6162636465 000000",
		"":                 "0A23D7CE 00000000",
		"\x0A\x23\xD7\xCE": "0A23D7CE 00000020 0A23D7CE 00000060",
	} {
		if got := string(AppendRecordIO(nil, []byte(data))); got != unhex(t, want) {
			t.Errorf("%q: % X, want %s", data, got, want)
		}
	}
}

// BT-67, RF-4: every broken record is named by its number and place, and what
// came before it was packed.
func TestBrokenObjects(t *testing.T) {
	t.Parallel()
	two := framed(RecordIO, "abcd", "efgh")
	tf := framed(TFRecord, "abcd", "efgh")
	flip := func(s string, at int) string { return s[:at] + string(s[at]^1) + s[at+1:] }
	cases := []struct {
		name  string
		cfg   Config
		in    string
		want  string
		whole int // mini-batches that come before the error, one record each
	}{
		{"object over the limit", Config{Limit: 3}, "abcd", "Record is larger than 0.000MB. Please increase your max_payload (record 1, which begins at byte 0, is over the limit of 3 bytes)", 0},
		{"line over the limit", Config{Split: Line, Limit: 3}, "ab\nabcd\n", "(record 2, which begins at byte 3, is over", 1},
		{"single line over the limit", Config{Split: Line, Single: true, Limit: 3}, "ab\nabcd\n", "(record 2, which begins at byte 3, is over", 1},
		{"last line over the limit", Config{Split: Line, Limit: 3}, "ab\nabcd", "(record 2, which begins at byte 3, is over", 1},
		{"RecordIO over the limit", Config{Split: RecordIO, Limit: 11}, two, "(record 1, which begins at byte 0, is over the limit of 11 bytes)", 0},
		{"RecordIO single over the limit", Config{Split: RecordIO, Single: true, Limit: 4}, framed(RecordIO, "abcd", "abcde"), "(record 2, which begins at byte 12, is over the limit of 4 bytes)", 1},
		{"RecordIO wrong magic", Config{Split: RecordIO, Single: true, Limit: 9}, flip(two, 12), "record 2, which begins at byte 12, is not valid RecordIO: its magic is 0xCED7230B, not 0xCED7230A", 1},
		{"RecordIO short header", Config{Split: RecordIO, Single: true, Limit: 9}, two[:15], "record 2, which begins at byte 12, is not valid RecordIO: the file ends in the middle of its header", 1},
		{"RecordIO short data", Config{Split: RecordIO, Single: true, Limit: 9}, two[:22], "the file ends in the middle of its data (2 of 4 bytes)", 1},
		{"RecordIO starts in the middle", Config{Split: RecordIO, Limit: 9}, unhex(t, "0A23D7CE 00000060"), "it begins with part 3 of a record in parts", 0},
		{"RecordIO parts unfinished", Config{Split: RecordIO, Limit: 99}, unhex(t, "0A23D7CE 00000020"), "the file ends before the record's last part", 0},
		{"RecordIO parts interrupted", Config{Split: RecordIO, Limit: 99}, unhex(t, "0A23D7CE 00000020 0A23D7CE 00000000"), "part 0 follows an unfinished record", 0},
		{"RecordIO unknown flag", Config{Split: RecordIO, Limit: 99}, unhex(t, "0A23D7CE 000000E0"), "its part flag is 7", 0},
		{"TFRecord length checksum", Config{Split: TFRecord, Single: true, Limit: 9}, flip(tf, 20), "record 2, which begins at byte 20, is not valid TFRecord: the checksum of its length is", 1},
		{"TFRecord data checksum", Config{Split: TFRecord, Single: true, Limit: 9}, flip(tf, 33), "the checksum of its data is", 1},
		{"TFRecord short header", Config{Split: TFRecord, Single: true, Limit: 9}, tf[:25], "the file ends in the middle of its header", 1},
		{"TFRecord short data", Config{Split: TFRecord, Single: true, Limit: 9}, tf[:35], "the file ends in the middle of its data (3 of 8 bytes)", 1},
		{"TFRecord over the limit", Config{Split: TFRecord, Limit: 19}, tf, "(record 1, which begins at byte 0, is over the limit of 19 bytes)", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := pack(strings.NewReader(c.in), c.cfg, 10)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %s", err, c.want)
			}
			if len(got) != c.whole {
				t.Errorf("%d mini-batches before the error, want %d", len(got), c.whole)
			}
		})
	}
}

// A record is found again by its offset, whatever its framing.
func TestOffsetOf(t *testing.T) {
	t.Parallel()
	for split, in := range map[Split]string{
		Line:     "a\nbcd\ne\n",
		RecordIO: framed(RecordIO, "a", "bcd", "e"),
		TFRecord: framed(TFRecord, "a", "bcd", "e"),
	} {
		b := NewBatcher(strings.NewReader(in), Config{Split: split, Single: true, Limit: 99})
		var g Group
		if err := b.Fill(&g, 9); err != nil || len(g.Ends) != 3 {
			t.Fatal(err)
		}
		for i := range g.Ends {
			rest := NewSplitter(strings.NewReader(in[g.OffsetOf(i):]), split, 99)
			if rec, err := rest.Next(); err != nil || string(rec.Payload) != string(g.Batch(i)) {
				t.Errorf("%s: record %d is not at %d: %q %v", split, i, g.OffsetOf(i), rec.Payload, err)
			}
		}
	}
}

// An error of the source is returned as it is, and again.
func TestSourceErrors(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, cfg := range []Config{
		{Limit: 99}, {Split: Line, Limit: 99}, {Split: Line, Single: true, Limit: 99},
		{Split: RecordIO, Limit: 99}, {Split: TFRecord, Limit: 99},
	} {
		src := io.MultiReader(strings.NewReader(framed(cfg.Split, "abc")[:4]), iotest.ErrReader(boom))
		if cfg.Split == None || cfg.Split == Line {
			src = io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(boom))
		}
		b := NewBatcher(src, cfg)
		var g Group
		for range 2 {
			if err := b.Fill(&g, 5); !errors.Is(err, boom) {
				t.Errorf("%v: error = %v", cfg, err)
			}
		}
	}
}

// BT-76, BT-77, T-2: 25,000 rows of 10,000 bytes under 6 MB make 40 requests, 39
// of 629 rows and the last of 469.
func TestPublicNotebookFigures(t *testing.T) {
	t.Parallel()
	row := append(bytes.Repeat([]byte("1,"), 4999), "1\n"...)
	src := &repeated{row: row, left: 25000}
	b := NewBatcher(src, Config{Split: Line, Limit: 6 << 20})
	var g Group
	var counts []int64
	for b.Fill(&g, 1) == nil {
		counts = append(counts, g.Records)
	}
	if len(counts) != 40 || counts[0] != 629 || counts[38] != 629 || counts[39] != 469 {
		t.Errorf("requests: %d, rows: %v", len(counts), counts)
	}
}

// repeated reads as one row many times, without holding them.
type repeated struct {
	row  []byte
	at   int
	left int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && r.left > 0 {
		m := copy(p[n:], r.row[r.at:])
		n, r.at = n+m, r.at+m
		if r.at == len(r.row) {
			r.at = 0
			r.left--
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestAssemble(t *testing.T) {
	t.Parallel()
	magic := "\x0A\x23\xD7\xCE"
	answers := []string{"a", "b\n", "", magic}
	for _, c := range []struct {
		a    Assembly
		want string
	}{
		{Concat, "ab\n" + magic},               // BT-107
		{JoinLines, "a\nb\n\n" + magic + "\n"}, // BT-108, BT-109
		{AlwaysLine, "a\nb\n\n\n" + magic + "\n"},
		{FramedAsRecords, framed(RecordIO, answers...)}, // SD-6
	} {
		var out []byte
		for _, a := range answers {
			mark := len(out)
			var err error
			if out, err = c.a.Finish(append(out, a...), mark); err != nil {
				t.Fatal(err)
			}
		}
		if string(out) != c.want {
			t.Errorf("assembly %d: %q, want %q", c.a, out, c.want)
		}
	}
}

func ExampleBatcher() {
	b := NewBatcher(strings.NewReader("1,2\n3,4\n5,6\n"), Config{Split: Line, Limit: 8})
	var g Group
	for b.Fill(&g, 1) == nil {
		fmt.Printf("from record %d, %d records: %q\n", g.First, g.Records, g.Batch(0))
	}
	// Output:
	// from record 1, 2 records: "1,2\n3,4\n"
	// from record 3, 1 records: "5,6\n"
}
