// Package record turns the bytes of an object into records, packs records into
// mini-batches, and assembles the answers. It is pure: it reads an io.Reader,
// fills buffers that its caller owns, and knows nothing of stores or HTTP.
//
// Bytes stay bytes. Nothing is decoded, so invalid UTF-8 and CRLF pass untouched
// (BT-65, BT-68), and nothing is allocated for a record: a Splitter hands out
// slices of its window, and a Batcher copies them into a Group that is used
// again and again.
package record

import "fmt"

// Split says what a record is (BT-60 to BT-63).
type Split int

// The ways of cutting an object into records.
const (
	None     Split = iota // the whole object is the one record
	Line                  // up to and including the next LF
	RecordIO              // one logical MXNet RecordIO record (RF-1 to RF-4)
	TFRecord              // one TFRecord (RF-10, RF-11)
)

// String names the split as the API does.
func (s Split) String() string {
	return [...]string{"None", "Line", "RecordIO", "TFRecord"}[s]
}

// Record is one record of an object. Its slices are valid until the next call
// of the Splitter that returned it.
type Record struct {
	// Framed is the record as stored: with its LF, or with its binary framing.
	Framed []byte
	// Payload is what a container gets of a single record: the line with its LF
	// (BT-64), or the data without framing and padding (BT-66).
	Payload []byte
}

// Splitter cuts an object into records, in order. After the last record it
// returns io.EOF; after any error it keeps returning that error. Errors of the
// source are returned as they are.
type Splitter interface{ Next() (Record, error) }

// TooLargeError is a record, or with SplitType None an object, that no request
// may carry (BT-70 to BT-74).
type TooLargeError struct {
	Record int64 // number of the record in its object, from 1
	Offset int64 // of the record's first byte in the (decompressed) object
	Limit  int   // bytes that a request may carry
}

// Error has the wording of SageMaker's local mode first (BT-79), then which record.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("Record is larger than %sMB. Please increase your max_payload (record %d, which begins at byte %d, is over the limit of %d bytes)",
		megabytes(e.Limit), e.Record, e.Offset, e.Limit)
}

// megabytes prints n bytes in units of 2^20, without a fraction where it has none.
func megabytes(n int) string {
	if n%(1<<20) == 0 {
		return fmt.Sprint(n >> 20)
	}
	return fmt.Sprintf("%.3f", float64(n)/(1<<20))
}

// FormatError is framing that is not what the SplitType promises (BT-67, RF-4).
type FormatError struct {
	Split  Split
	Record int64 // number of the broken record, from 1
	Offset int64 // of its first byte in the (decompressed) object
	Reason string
}

// Error says what is wrong and where.
func (e *FormatError) Error() string {
	return fmt.Sprintf("record %d, which begins at byte %d, is not valid %s: %s", e.Record, e.Offset, e.Split, e.Reason)
}
