package local

import (
	"bytes"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// FuzzDecrypt: whatever stands where a ciphertext should, it is refused as one
// that is damaged, and nothing but the original opens.
func FuzzDecrypt(f *testing.F) {
	material := bytes.Repeat([]byte{7}, 32)
	by := origin{"1234abcd-12ab-34cd-56ef-1234567890ab", 3}
	good, err := encrypt(by, material, []byte("text"), []byte("context"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte("context"))
	f.Add([]byte{blobFormat}, []byte(nil))
	f.Add(make([]byte, blobHead+tagSize), []byte(nil))
	f.Fuzz(func(t *testing.T, blob, context []byte) {
		from, err := originOf(blob)
		if err == nil {
			var plaintext []byte
			plaintext, err = decrypt(blob, material, context)
			if err == nil && (from != by || string(plaintext) != "text" || string(context) != "context") {
				t.Errorf("%x opened as %q of %v", blob, plaintext, from)
			}
		}
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%v", err)
		}
	})
}
