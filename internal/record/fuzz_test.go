package record

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// fuzzSplit checks what must hold for any bytes at all: the mini-batches of
// MultiRecord joined give back the object as far as it was good, each is within
// the limit, SingleRecord gives as many records as MultiRecord counted, and
// neither the size of reads nor of groups changes anything.
func fuzzSplit(f *testing.F, split Split, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s), 16)
	}
	f.Fuzz(func(t *testing.T, in []byte, limit int) {
		if limit < 1 || limit > 1<<16 {
			return
		}
		multi, multiErr := packAll(bytes.NewReader(in), Config{Split: split, Limit: limit}, 1)
		byByte, byByteErr := packAll(iotest.OneByteReader(bytes.NewReader(in)), Config{Split: split, Limit: limit}, 3)
		if !bytes.Equal(multi.joined, byByte.joined) || multi.records != byByte.records || text(multiErr) != text(byByteErr) {
			t.Fatalf("the size of reads matters: %v %v / %v %v", multi, multiErr, byByte, byByteErr)
		}
		if !bytes.HasPrefix(in, multi.joined) {
			t.Fatalf("mini-batches %q are not the beginning of %q", multi.joined, in)
		}
		if multiErr == nil && len(multi.joined) != len(in) {
			t.Fatalf("%d of %d bytes packed without an error", len(multi.joined), len(in))
		}
		if multi.largest > limit {
			t.Fatalf("a mini-batch of %d bytes is over %d", multi.largest, limit)
		}
		single, singleErr := packAll(bytes.NewReader(in), Config{Split: split, Single: true, Limit: limit}, 7)
		if single.largest > limit {
			t.Fatalf("a record of %d bytes is over %d", single.largest, limit)
		}
		if multiErr == nil && (singleErr != nil || single.records != multi.records) {
			t.Fatalf("%d records, one by one %d, %v", multi.records, single.records, singleErr)
		}
	})
}

type packed struct {
	joined  []byte
	records int64
	largest int
}

func packAll(src io.Reader, cfg Config, want int) (packed, error) {
	b := NewBatcher(src, cfg)
	var g Group
	var p packed
	for {
		err := b.Fill(&g, want)
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return p, err
		}
		p.joined = append(p.joined, g.Body...)
		p.records += g.Records
		for i := range g.Ends {
			p.largest = max(p.largest, len(g.Batch(i)))
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzLines(f *testing.F) { fuzzSplit(f, Line, "", "a\nb", "\n\n\r\n", "long line without end") }
func FuzzRecordIO(f *testing.F) {
	fuzzSplit(f, RecordIO, framed(RecordIO, "abc", "", "\x0A\x23\xD7\xCE12"), "\x0A\x23\xD7\xCE")
}
func FuzzTFRecord(f *testing.F) { fuzzSplit(f, TFRecord, framed(TFRecord, "abc", "")) }

// FuzzRecordIORoundTrip checks that what is framed is read back, whatever it holds.
func FuzzRecordIORoundTrip(f *testing.F) {
	f.Add([]byte("abc"), []byte("\x0A\x23\xD7\xCE\x0A\x23\xD7\xCEx"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		in := AppendRecordIO(AppendRecordIO(nil, one), two)
		got, err := pack(bytes.NewReader(in), Config{Split: RecordIO, Single: true, Limit: 1 << 20}, 5)
		if err != nil || len(got) != 2 || got[0] != string(one) || got[1] != string(two) {
			t.Fatalf("got %q, %v", got, err)
		}
		dst, err := FramedAsRecords.Finish(append([]byte("head"), one...), 4)
		if err != nil || string(dst[4:]) != string(AppendRecordIO(nil, one)) {
			t.Fatalf("framed in place: % X, %v", dst[4:], err)
		}
	})
}
