package s3api

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/rclone/gofakes3"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
)

// gofakes3 knows no encryption but what it refuses: keys of the customer (SSE-C).
// The headers of SSE-KMS and SSE-S3 are taken out
// of its sight here, and those of answers put in.
const (
	sseHeader        = "X-Amz-Server-Side-Encryption"
	sseKeyHeader     = sseHeader + "-Aws-Kms-Key-Id"
	sseContextHeader = sseHeader + "-Context"
	bucketKeyHeader  = sseHeader + "-Bucket-Key-Enabled"
	sseCHeader       = sseHeader + "-Customer-Algorithm"
)

// twoLayers is S3's encryption in two layers, which is refused.
const twoLayers = filestore.ByKMS + ":dsse"

func errTwoLayers() *failure {
	return &failure{Code: "NotImplemented", Message: "The encryption aws:kms:dsse is not supported; use aws:kms.", status: http.StatusNotImplemented}
}

// encryptionOf takes what a request that makes an object says of its encryption
// out of the header. What gofakes3 refuses stays there.
func encryptionOf(h http.Header) (e filestore.Encryption, refused *failure) {
	a := filestore.Algorithm(h.Get(sseHeader))
	switch {
	case h.Get(sseCHeader) != "":
		return e, nil
	case a == twoLayers:
		return e, errTwoLayers()
	case a == filestore.ByKMS:
	case a == filestore.ByServer && h.Get(sseKeyHeader) == "":
	default:
		return e, nil
	}
	if f := unsupportedEncryption(h.Get(sseContextHeader) != "", strings.EqualFold(h.Get(bucketKeyHeader), "true")); f != nil {
		return e, f
	}
	e = filestore.Encryption{Algorithm: a, KeyID: h.Get(sseKeyHeader)}
	for _, name := range []string{sseHeader, sseKeyHeader, bucketKeyHeader} {
		h.Del(name)
	}
	return e, nil
}

// unsupportedEncryption refuses by name what is not done.
func unsupportedEncryption(context, bucketKey bool) *failure {
	text := ""
	switch {
	case context:
		text = "An encryption context of one's own is not supported; remove x-amz-server-side-encryption-context."
	case bucketKey:
		text = "S3 Bucket Keys are not supported; leave BucketKeyEnabled out."
	default:
		return nil
	}
	return &failure{Code: "NotImplemented", Message: text, status: http.StatusNotImplemented}
}

// makesObject reports whether a request makes an object or begins a multipart one.
func makesObject(r *http.Request, key string) bool {
	q := r.URL.Query()
	switch {
	case key == "":
		return false
	case r.Method == http.MethodPost:
		return q.Has("uploads")
	}
	return r.Method == http.MethodPut && !q.Has("uploadId") && !q.Has("tagging") && !q.Has("acl")
}

// prepareEncryption notes how the object of a request is to be encrypted. Copying an
// object onto itself is allowed when that changes, which gofakes3 does not know; a
// storage class makes it agree.
func (c *call) prepareEncryption(r *http.Request, key string) (refused *failure) {
	if !makesObject(r, key) {
		return nil
	}
	if c.encryption, refused = encryptionOf(r.Header); refused != nil {
		return refused
	}
	if c.encryption.Algorithm != "" && r.Header.Get("X-Amz-Copy-Source") != "" && r.Header.Get("X-Amz-Storage-Class") == "" && r.Header.Get("X-Amz-Metadata-Directive") != "REPLACE" {
		r.Header.Set("X-Amz-Storage-Class", "STANDARD")
	}
	return nil
}

// tell says in the response how the object that it is about is encrypted.
func (c *call) tell(e filestore.Encryption) {
	c.header.Del(sseHeader)
	c.header.Del(sseKeyHeader)
	if e.Algorithm != filestore.Unencrypted {
		c.header.Set(sseHeader, string(e.Algorithm))
	}
	if e.Algorithm == filestore.ByKMS {
		c.header.Set(sseKeyHeader, e.KeyID)
	}
}

// keyRefusal turns what a key service refused into S3's error; nil when err is none.
func keyRefusal(ctx context.Context, err error) error {
	var refusal *keyring.Error
	if !fault.Is(err, fault.Denied) || !errors.As(err, &refusal) {
		return nil
	}
	switch refusal.Code {
	case keyring.AccessDeniedException, keyring.InvalidCiphertextException, keyring.IncorrectKeyException:
		callOf(ctx).status = http.StatusForbidden
		return gofakes3.ErrorMessage("AccessDenied", refusal.Text)
	}
	callOf(ctx).status = http.StatusBadRequest
	return gofakes3.ErrorMessage(gofakes3.ErrorCode("KMS."+string(refusal.Code)), refusal.Text)
}

// encryptionRules is a bucket's default, as S3 writes it.
type encryptionRules struct {
	XMLName xml.Name         `xml:"ServerSideEncryptionConfiguration"`
	XMLNS   string           `xml:"xmlns,attr,omitempty"`
	Rules   []encryptionRule `xml:"Rule"`
}

type encryptionRule struct {
	Default *struct {
		Algorithm string `xml:"SSEAlgorithm"`
		KeyID     string `xml:"KMSMasterKeyID,omitempty"`
	} `xml:"ApplyServerSideEncryptionByDefault"`
	BucketKeyEnabled bool      `xml:"BucketKeyEnabled"`
	Blocked          *struct{} `xml:"BlockedEncryptionTypes"`
}

// maxRules bounds the XML of a bucket's default.
const maxRules = 64 << 10

// bucketEncryption serves GetBucketEncryption, PutBucketEncryption and
// DeleteBucketEncryption.
func (h *handler) bucketEncryption(w *response, r *http.Request, bucket string) {
	err := h.askBucketEncryption(w, r, bucket)
	var f *failure
	switch {
	case err == nil:
	case errors.As(err, &f):
		writeError(w, f)
	case fault.Is(err, fault.NotFound):
		writeError(w, &failure{Code: "NoSuchBucket", Message: "The specified bucket does not exist", status: http.StatusNotFound})
	default:
		h.o.Logger.Error("the object store failed", "bucket", bucket, "error", err)
		writeError(w, &failure{Code: "InternalError", Message: "We encountered an internal error. Please try again.", status: http.StatusInternalServerError})
	}
}

func (h *handler) askBucketEncryption(w *response, r *http.Request, bucket string) error {
	switch r.Method {
	case http.MethodGet:
		return h.getBucketEncryption(w, r, bucket)
	case http.MethodDelete:
		err := h.store.SetBucketEncryption(r.Context(), bucket, filestore.Encryption{})
		if err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
		return err
	case http.MethodPut:
		e, err := readRules(r.Body)
		if err == nil {
			err = h.store.SetBucketEncryption(r.Context(), bucket, e)
		}
		if err == nil {
			w.WriteHeader(http.StatusOK)
		}
		return err
	}
	return &failure{Code: "MethodNotAllowed", Message: "The specified method is not allowed against this resource.", status: http.StatusMethodNotAllowed}
}

func (h *handler) getBucketEncryption(w *response, r *http.Request, bucket string) error {
	if ok, err := h.store.HasBucket(r.Context(), bucket); err != nil || !ok {
		return errors.Join(err, fault.New(fault.NotFound, "there is no such bucket"))
	}
	e, err := h.store.BucketEncryption(r.Context(), bucket)
	if err != nil {
		return err
	}
	if e.Algorithm == filestore.Unencrypted {
		return &failure{Code: "ServerSideEncryptionConfigurationNotFoundError", Message: "The server side encryption configuration was not found", status: http.StatusNotFound}
	}
	rule := encryptionRule{}
	rule.Default = &struct {
		Algorithm string `xml:"SSEAlgorithm"`
		KeyID     string `xml:"KMSMasterKeyID,omitempty"`
	}{string(e.Algorithm), e.KeyID}
	body, err := xml.Marshal(encryptionRules{XMLNS: "http://s3.amazonaws.com/doc/2006-03-01/", Rules: []encryptionRule{rule}})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/xml")
	_, err = w.Write(append([]byte(xml.Header), body...))
	return err
}

// readRules reads the one rule that a bucket may have.
func readRules(body io.Reader) (e filestore.Encryption, err error) {
	text, err := io.ReadAll(io.LimitReader(body, maxRules+1))
	var bad gofakes3.Error
	if errors.As(err, &bad) {
		return e, invalid(string(bad.ErrorCode()), err.Error())
	}
	var rules encryptionRules
	if err != nil || len(text) > maxRules || xml.Unmarshal(text, &rules) != nil || len(rules.Rules) != 1 || rules.Rules[0].Default == nil {
		return e, invalid("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	rule := rules.Rules[0]
	if f := unsupportedEncryption(false, rule.BucketKeyEnabled); f != nil {
		return e, f
	}
	if rule.Blocked != nil {
		return e, &failure{Code: "NotImplemented", Message: "BlockedEncryptionTypes is not supported; leave it out.", status: http.StatusNotImplemented}
	}
	e = filestore.Encryption{Algorithm: filestore.Algorithm(rule.Default.Algorithm), KeyID: rule.Default.KeyID}
	switch {
	case e.Algorithm == twoLayers:
		return e, errTwoLayers()
	case e.Algorithm == filestore.ByServer && e.KeyID != "":
		return e, invalid("InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
	case e.Algorithm != filestore.ByServer && e.Algorithm != filestore.ByKMS:
		return e, invalid("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	return e, nil
}
