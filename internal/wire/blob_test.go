package wire

import (
	"bytes"
	"testing"
)

// sealed is a message with bytes, as KMS has them; no operation of SageMaker does.
type sealed struct {
	Plain  []byte
	Cipher []byte
}

func (*sealed) Schema() (*Service, ShapeID) { return &sealing, 0 }

var sealing = Service{Name: "Sealing", Invalid: ResourceLimitExceeded, Shapes: []Shape{
	{Name: "Sealed", Kind: KindStructure, Members: []Member{{Name: "plain", Shape: 1}, {Name: "Cipher", Shape: 2, Required: true}}},
	{Name: "Plain", Kind: KindBlob, Bounds: HasMin | HasMax, Min: 1, Max: 4, Secret: true},
	{Name: "Cipher", Kind: KindBlob, Bounds: HasMax, Max: 8},
}}

// Bytes are base64 on the wire; an empty value is not an absent one.
func TestBlobs(t *testing.T) {
	t.Parallel()
	m, err := Decode[sealed]([]byte(`{"plain":"AAEC","Cipher":""}`))
	if err != nil || !bytes.Equal(m.Plain, []byte{0, 1, 2}) || m.Cipher == nil {
		t.Fatalf("%+v, %v", m, err)
	}
	if got := string(Encode(m)); got != `{"plain":"AAEC","Cipher":""}` {
		t.Errorf("encoded as %s", got)
	}
	for body, want := range map[string]string{
		`{"Cipher":"AA"}`:   "STRING_VALUE can not be converted to a Blob at 'cipher'",
		`{"Cipher":"A A="}`: "STRING_VALUE can not be converted to a Blob at 'cipher'",
		`{"Cipher":7}`:      "NUMBER_VALUE can not be converted to a Blob at 'cipher'",
	} {
		_, err := Decode[sealed]([]byte(body))
		wantError(t, err, SerializationException, want)
	}
	// A violation has the service's own code; secret bytes are not even counted.
	_, err = Decode[sealed]([]byte(`{"plain":"AAECAwQ=","Cipher":"AAECAwQFBgcI"}`))
	wantError(t, err, ResourceLimitExceeded, "2 validation errors detected: "+
		"Value '***' at 'plain' failed to satisfy constraint: Member must have length less than or equal to 4; "+
		"Value '9 bytes' at 'cipher' failed to satisfy constraint: Member must have length less than or equal to 8")
	_, err = Decode[sealed](nil)
	wantError(t, err, ResourceLimitExceeded, "1 validation error detected: Value null at 'cipher' failed to satisfy constraint: Member must not be null")
}
