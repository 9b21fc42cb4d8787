package state

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	raftpb "github.com/muster/muster/proto/raft/v1"
)

// oneof returns the fields of the oneof "kind" of a message.
func oneof(m proto.Message) (fields []protoreflect.FieldDescriptor) {
	all := m.ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range all.Len() {
		fields = append(fields, all.Get(i))
	}
	return fields
}

// itemOf returns a snapshot item with an object of that kind, which has an id
// if it can have one.
func itemOf(field protoreflect.FieldDescriptor) *raftpb.SnapshotItem {
	item := new(raftpb.SnapshotItem)
	object := item.ProtoReflect().NewField(field)
	for _, name := range []protoreflect.Name{"id", "request_id"} {
		if id := field.Message().Fields().ByName(name); id != nil {
			object.Message().Set(id, protoreflect.ValueOfString("x"))
		}
	}
	item.ProtoReflect().Set(field, object)
	return item
}

// TestEveryItemIsOfAKind: each kind of object that snapshots know comes back
// from one, is told to watchers, and is found twice at most once.
func TestEveryItemIsOfAKind(t *testing.T) {
	for _, field := range oneof(new(raftpb.SnapshotItem)) {
		if field.Name() == "end" {
			continue
		}
		t.Run(string(field.Name()), func(t *testing.T) {
			item := itemOf(field)
			tx := NewState().begin(1, time.Time{})
			if err := tx.restore(proto.CloneOf(item)); err != nil {
				t.Fatalf("no kind in objects.go takes it: %v", err)
			}
			if err := tx.restore(proto.CloneOf(item)); err == nil {
				t.Error("it was taken twice")
			}
			var snapshot bytes.Buffer
			if err := WriteSnapshot(&snapshot, tx.commit()); err != nil {
				t.Fatal(err)
			}
			s, err := ReadSnapshot(&snapshot)
			if err != nil {
				t.Fatal(err)
			}
			var got []*raftpb.SnapshotItem
			for i := range s.items() {
				got = append(got, i)
			}
			if len(got) != 1 || !proto.Equal(got[0], item) {
				t.Errorf("%v went into a snapshot and %v came out", item, got)
			}
			refs := s.Refs()
			if field.Name() == "request" {
				if len(refs) != 0 {
					t.Errorf("watchers are told of a request: %v", refs)
				}
			} else if len(refs) != 1 || refs[0].Kind != Kind(field.Name()) {
				t.Errorf("watchers are told of %v, want a %s", refs, field.Name())
			}
		})
	}
}

// TestEveryTableIsListed: a table that tables() lacks would be in no snapshot.
func TestEveryTableIsListed(t *testing.T) {
	o := newObjects()
	listed := make(map[any]bool)
	for _, table := range o.tables() {
		listed[table] = true
	}
	v := reflect.ValueOf(&o).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if !listed[reflect.NewAt(v.Field(i).Type(), v.Field(i).Addr().UnsafePointer()).Interface()] {
			t.Errorf("tables() does not list %s", name)
		}
		if v.Field(i).FieldByName("kind").IsNil() {
			t.Errorf("newObjects() does not make %s", name)
		}
	}
	if len(listed) != v.NumField() {
		t.Errorf("tables() lists %d tables, there are %d", len(listed), v.NumField())
	}
}

// TestEveryChangeIsHandled: apply ends the process at a change that it lacks.
func TestEveryChangeIsHandled(t *testing.T) {
	for _, field := range oneof(new(raftpb.Change)) {
		t.Run(string(field.Name()), func(t *testing.T) {
			change := new(raftpb.Change)
			change.ProtoReflect().Set(field, change.ProtoReflect().NewField(field))
			_ = NewState().begin(1, time.Time{}).apply(change) // refused or skipped, but known
		})
	}
}

func TestAStateIsNotWrittenTo(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a table of a State was changed")
		}
	}()
	NewState().nodes.put(nil)
}
