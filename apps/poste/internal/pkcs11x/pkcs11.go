// Package pkcs11x signs by a token's own module (PKCS#11 2.40), with the dozen functions that this needs.
//
// One source serves both systems: what differs (size of CK_ULONG, packing, how a library is opened) is in library_*.go.
package pkcs11x

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"
)

// Ranks in CK_FUNCTION_LIST.
const (
	initialize        = 0
	finalize          = 1
	getSlotList       = 4
	getTokenInfo      = 6
	openSession       = 12
	closeSession      = 13
	login             = 18
	logout            = 19
	getAttributeValue = 24
	findObjectsInit   = 26
	findObjects       = 27
	findObjectsFinal  = 28
	signInit          = 42
	sign              = 43
)

const (
	osLocking        = 2 // CKF_OS_LOCKING_OK
	serialSession    = 4 // CKF_SERIAL_SESSION
	userPINFinalTry  = 0x20000
	userPINLocked    = 0x40000
	pinPad           = 0x100 // CKF_PROTECTED_AUTHENTICATION_PATH
	user             = 1     // CKU_USER
	contextSpecific  = 2     // CKU_CONTEXT_SPECIFIC
	classCertificate = 1
	classPrivateKey  = 3
	certificateX509  = 0
	attrClass        = 0x000
	attrValue        = 0x011
	attrCertType     = 0x080
	attrID           = 0x102
	attrAlways       = 0x202 // CKA_ALWAYS_AUTHENTICATE
	rsaPKCS          = 0x0001
	ecdsaRaw         = 0x1041
	alreadyInit      = 0x191
	pinIncorrect     = 0xA0
	pinInvalid       = 0xA1
	pinLength        = 0xA2
	pinLocked        = 0xA4
	functionCanceled = 0x50
	alreadyLogged    = 0x100
	mostSlots        = 64
	mostObjects      = 64
	mostBytes        = 1 << 16
)

// What a token says no to, and that a person must know apart.
var (
	ErrNoToken   = errors.New("token absent")
	ErrWrongPIN  = errors.New("wrong PIN")
	ErrLocked    = errors.New("PIN locked")
	ErrCancelled = errors.New("cancelled at the reader")
	ErrNoKey     = errors.New("no key of that certificate")
)

// Code is a CK_RV that is not CKR_OK.
type Code uint32

func (c Code) Error() string { return fmt.Sprintf("PKCS#11 0x%08x", uint32(c)) }

// sha256Prefix is what goes before a SHA-256 in PKCS #1 v1.5 (RFC 8017, 9.2, note 1).
var sha256Prefix = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// memory is what the module reads and writes: it stays where it is until it is freed.
type memory struct{ pins runtime.Pinner }

func (m *memory) free() { m.pins.Unpin() }

func (m *memory) make(size int) []byte {
	made := make([]byte, max(size, 1))
	m.pins.Pin(&made[0])
	return made[:size]
}

func (m *memory) copy(content []byte) []byte {
	made := m.make(len(content))
	copy(made, content)
	return made
}

func pointer[T any](to *T) uintptr { return uintptr(unsafe.Pointer(to)) }

func at(content []byte) uintptr {
	if len(content) == 0 {
		return 0
	}
	return pointer(&content[0])
}

func putUlong(into []byte, value uint64) {
	if ulongSize == 4 {
		binary.LittleEndian.PutUint32(into, uint32(value))
		return
	}
	binary.LittleEndian.PutUint64(into, value)
}

func ulong(from []byte) uint64 {
	if ulongSize == 4 {
		return uint64(binary.LittleEndian.Uint32(from))
	}
	return binary.LittleEndian.Uint64(from)
}

// structure writes fields one after the other: neither system leaves a hole between those that are used here.
func (m *memory) structure(fields ...any) []byte {
	var content []byte
	for _, one := range fields {
		switch value := one.(type) {
		case uint64:
			content = append(content, make([]byte, ulongSize)...)
			putUlong(content[len(content)-ulongSize:], value)
		case uintptr:
			content = binary.LittleEndian.AppendUint64(content, uint64(value))
		}
	}
	return m.copy(content)
}

const attributeSize = 2*ulongSize + 8

type attribute struct {
	kind  uint64
	value []byte
}

func (m *memory) attributes(list ...attribute) []byte {
	var content []byte
	for _, one := range list {
		content = append(content, m.structure(one.kind, at(one.value), uint64(len(one.value)))...)
	}
	return m.copy(content)
}

func (m *memory) number(value uint64) []byte {
	made := m.make(ulongSize)
	putUlong(made, value)
	return made
}

// Module is a library that is loaded.
type Module struct{ functions [sign + 1]uintptr }

// Open loads a library; its path is absolute: nothing is looked for elsewhere.
func Open(path string) (*Module, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("« %s » n'est pas un chemin complet", path)
	}
	getList, err := load(path)
	if err != nil {
		return nil, err
	}
	m := &Module{}
	var memory memory
	defer memory.free()
	place := memory.make(8)
	if code := invoke(getList, at(place)); code != 0 {
		return nil, Code(code)
	}
	list := *(*unsafe.Pointer)(unsafe.Pointer(&place[0]))
	for rank := range m.functions {
		entry := unsafe.Slice((*byte)(unsafe.Add(list, functionsFrom+8*rank)), 8) // not aligned on Windows
		m.functions[rank] = uintptr(binary.LittleEndian.Uint64(entry))
	}
	arguments := memory.structure(uintptr(0), uintptr(0), uintptr(0), uintptr(0), uint64(osLocking), uintptr(0))
	if err := m.call(initialize, at(arguments)); err != nil && err != Code(alreadyInit) {
		return nil, err
	}
	return m, nil
}

// Close ends the module's work; its library stays loaded, as some do not bear to be taken out.
func (m *Module) Close() error { return m.call(finalize, 0) }

func (m *Module) call(rank int, arguments ...uintptr) error {
	if m.functions[rank] == 0 {
		return fmt.Errorf("la bibliothèque n'a pas la fonction %d", rank)
	}
	if code := invoke(m.functions[rank], arguments...); code != 0 {
		return Code(code)
	}
	return nil
}

// Token is one that is in its reader, with a session.
type Token struct {
	Label    string
	PINPad   bool // the PIN is typed on the reader
	FinalTry bool // one more wrong PIN locks it
	Locked   bool
	module   *Module
	session  uintptr
	pin      []byte // for keys that ask for it at each signature
}

// Token finds one by its label; an empty label is the only one that is there.
func (m *Module) Token(label string) (*Token, error) {
	var memory memory
	defer memory.free()
	slots, count := memory.make(mostSlots*ulongSize), memory.number(mostSlots)
	if err := m.call(getSlotList, 1, at(slots), at(count)); err != nil {
		return nil, err
	}
	var found []*Token
	var place uintptr
	for rank := range int(ulong(count)) {
		slot := uintptr(ulong(slots[rank*ulongSize:]))
		info := memory.make(256)
		if m.call(getTokenInfo, slot, at(info)) != nil {
			continue // pulled out meanwhile, or not readable: another one may be right
		}
		name := strings.TrimRight(string(info[:32]), " \x00")
		if label != "" && name != label {
			continue
		}
		flags := ulong(info[96:])
		found = append(found, &Token{Label: name, PINPad: flags&pinPad != 0, FinalTry: flags&userPINFinalTry != 0,
			Locked: flags&userPINLocked != 0, module: m})
		place = slot
	}
	if len(found) == 0 {
		return nil, ErrNoToken
	}
	if len(found) > 1 {
		return nil, fmt.Errorf("%d jetons sont branchés : laissez celui qui doit signer", len(found))
	}
	session := memory.number(0)
	if err := m.call(openSession, place, serialSession, 0, 0, at(session)); err != nil {
		return nil, err
	}
	found[0].session = uintptr(ulong(session))
	return found[0], nil
}

// Close forgets the PIN and ends the session.
func (t *Token) Close() {
	clear(t.pin)
	_ = t.module.call(logout, t.session)
	_ = t.module.call(closeSession, t.session)
}

// Login gives the PIN, once; nil where it is typed on the reader.
func (t *Token) Login(pin []byte) error {
	if err := t.login(user, pin); err != nil && err != Code(alreadyLogged) {
		return err
	}
	t.pin = append([]byte{}, pin...)
	return nil
}

func (t *Token) login(who uintptr, pin []byte) error {
	var memory memory
	defer memory.free()
	kept := memory.copy(pin)
	defer clear(kept)
	err := t.module.call(login, t.session, who, at(kept), uintptr(len(kept)))
	switch err {
	case Code(pinIncorrect), Code(pinInvalid), Code(pinLength):
		return ErrWrongPIN
	case Code(pinLocked):
		return ErrLocked
	case Code(functionCanceled):
		return ErrCancelled
	}
	return err
}

func (t *Token) find(wanted ...attribute) ([]uintptr, error) {
	var memory memory
	defer memory.free()
	template := memory.attributes(wanted...)
	if err := t.module.call(findObjectsInit, t.session, at(template), uintptr(len(wanted))); err != nil {
		return nil, err
	}
	defer t.module.call(findObjectsFinal, t.session)
	objects, count := memory.make(mostObjects*ulongSize), memory.number(0)
	if err := t.module.call(findObjects, t.session, at(objects), mostObjects, at(count)); err != nil {
		return nil, err
	}
	var found []uintptr
	for rank := range int(ulong(count)) {
		found = append(found, uintptr(ulong(objects[rank*ulongSize:])))
	}
	return found, nil
}

// read gives an attribute of an object; nil: it has none.
func (t *Token) read(object uintptr, kind uint64) ([]byte, error) {
	var memory memory
	defer memory.free()
	asked := memory.attributes(attribute{kind, nil})
	if err := t.module.call(getAttributeValue, t.session, object, at(asked), 1); err != nil {
		return nil, err
	}
	size := ulong(asked[ulongSize+8:])
	if size == 0 || size > mostBytes { // CK_UNAVAILABLE_INFORMATION as well
		return nil, nil
	}
	value := memory.make(int(size))
	asked = memory.attributes(attribute{kind, value})
	if err := t.module.call(getAttributeValue, t.session, object, at(asked), 1); err != nil {
		return nil, err
	}
	if told := ulong(asked[ulongSize+8:]); told < size {
		value = value[:told]
	}
	return append([]byte{}, value...), nil
}

// Certificates gives those that are read without a PIN, as most tokens have them.
func (t *Token) Certificates() ([]*x509.Certificate, error) {
	var memory memory
	defer memory.free()
	objects, err := t.find(attribute{attrClass, memory.number(classCertificate)}, attribute{attrCertType, memory.number(certificateX509)})
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, object := range objects {
		der, err := t.read(object, attrValue)
		if err != nil {
			return nil, err
		}
		if one, err := x509.ParseCertificate(der); err == nil { // another's, that this program does not understand
			all = append(all, one)
		}
	}
	return all, nil
}

// Key gives the private key of a certificate of the token, once it is logged in.
func (t *Token) Key(certificate *x509.Certificate) (crypto.Signer, error) {
	var memory memory
	defer memory.free()
	objects, err := t.find(attribute{attrClass, memory.number(classCertificate)}, attribute{attrValue, memory.copy(certificate.Raw)})
	if err != nil {
		return nil, err
	}
	if len(objects) == 0 {
		return nil, ErrNoKey
	}
	id, err := t.read(objects[0], attrID)
	if err != nil {
		return nil, err
	}
	keys, err := t.find(attribute{attrClass, memory.number(classPrivateKey)}, attribute{attrID, memory.copy(id)})
	if err != nil {
		return nil, err
	}
	if len(keys) != 1 {
		return nil, ErrNoKey
	}
	always, err := t.read(keys[0], attrAlways)
	if err != nil {
		always = nil // a module of before this attribute
	}
	return &key{t, keys[0], certificate.PublicKey, len(always) == 1 && always[0] == 1}, nil
}

type key struct {
	token  *Token
	handle uintptr
	public crypto.PublicKey
	always bool // it asks for the PIN at each signature
}

func (k *key) Public() crypto.PublicKey { return k.public }

// Sign signs a SHA-256: PKCS #1 v1.5, or ECDSA in DER.
func (k *key) Sign(_ io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	if options.HashFunc() != crypto.SHA256 || len(digest) != 32 {
		return nil, errors.New("SHA-256 seul est signé")
	}
	var memory memory
	defer memory.free()
	var mechanism uint64
	var content []byte
	switch k.public.(type) {
	case *rsa.PublicKey:
		mechanism, content = rsaPKCS, append(append([]byte{}, sha256Prefix...), digest...)
	case *ecdsa.PublicKey:
		mechanism, content = ecdsaRaw, digest
	default:
		return nil, errors.New("clé d'un type inconnu")
	}
	how := memory.structure(mechanism, uintptr(0), uint64(0))
	if err := k.token.module.call(signInit, k.token.session, at(how), k.handle); err != nil {
		return nil, err
	}
	if k.always {
		if err := k.token.login(contextSpecific, k.token.pin); err != nil {
			return nil, err
		}
	}
	given := memory.copy(content)
	made, size := memory.make(1024), memory.number(1024)
	err := k.token.module.call(sign, k.token.session, at(given), uintptr(len(given)), at(made), at(size))
	if err != nil {
		return nil, err
	}
	made = append([]byte{}, made[:ulong(size)]...)
	if mechanism == rsaPKCS {
		return made, nil
	}
	half := len(made) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(made[:half]), new(big.Int).SetBytes(made[half:])})
}
