package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sagebrush-ml/sagebrush/internal/front"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

// signedRequest is a request as front shows it.
func signedRequest(t testing.TB, secret string) *front.Request {
	t.Helper()
	body := bytes.Repeat([]byte("x"), 1024)
	sum := sha256.Sum256(body)
	r, err := http.NewRequest(http.MethodPost, "http://localhost/endpoints/e/invocations", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/csv")
	r.Header.Set("Accept", "*/*")
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: "k", SecretAccessKey: secret}, r,
		hex.EncodeToString(sum[:]), "sagemaker", "us-west-2", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	out := &front.Request{Head: front.Head{Method: []byte("POST"), Path: []byte(r.URL.Path), Host: []byte(r.URL.Host), ContentLength: 1024}, Body: body, Whole: true}
	out.Fields = append(out.Fields, front.Field{Name: []byte("Host"), Value: out.Host}, front.Field{Name: []byte("Content-Length"), Value: []byte("1024")})
	for name, values := range r.Header {
		out.Fields = append(out.Fields, front.Field{Name: []byte(name), Value: []byte(values[0])})
	}
	return out
}

func TestVerify(t *testing.T) {
	h := &handler{secret: "s", verifier: sigv4.NewVerifier(nil)}
	r := signedRequest(t, "s")
	if err := h.verify(r); err != nil {
		t.Error(err)
	}
	r.Body[0]++
	if h.verify(r) == nil {
		t.Error("another body has the same signature")
	}
}

func BenchmarkVerify(b *testing.B) {
	h := &handler{secret: "s", verifier: sigv4.NewVerifier(nil)}
	r := signedRequest(b, "s")
	b.ReportAllocs()
	for b.Loop() {
		if err := h.verify(r); err != nil {
			b.Fatal(err)
		}
	}
}
