package resource

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// An ARN is read or refused, and one that is read is written as it was, but for its case
// and its partition.
func FuzzParseARN(f *testing.F) {
	for _, s := range []string{"arn:aws:sagemaker:us-east-1:000000000000:model/m", "arn:aws:sagemaker:::/", "arn:aws-cn:sagemaker:x:1:endpoint/E/f", ":::::", "arn:aws:sagemaker:us-east-1:000000000000:model/m:n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arn string) {
		k, account, ok := ParseARN(arn)
		if !ok || strings.ContainsFunc(arn, func(r rune) bool { return r >= utf8.RuneSelf }) { // names have ASCII only
			return
		}
		_, got, _ := strings.Cut(k.ARN(account), ":sagemaker:")
		if _, want, _ := strings.Cut(arn, ":sagemaker:"); !strings.EqualFold(got, want) {
			t.Errorf("%q is %+v of %s, which is %q", arn, k, account, got)
		}
	})
}
