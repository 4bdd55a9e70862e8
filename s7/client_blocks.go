package s7

import (
	"context"
	"errors"
)

// blockService is a service of GroupBlock.
func blockService(sub uint8, object string) service {
	return service{what: Error{Group: GroupBlock, Sub: sub, Object: object}, patience: servicePatience}
}

// BlockCounts returns how many blocks of each type there are.
func (c *Client) BlockCounts(ctx context.Context) ([]BlockCount, error) {
	s := blockService(SubBlockCounts, "")
	data, err := c.fetch(ctx, s, BlockCountsRequest{})
	if err != nil {
		return nil, err
	}
	counts, err := BlockCounts(data, nil)
	if err != nil {
		return nil, s.failed(err)
	}
	return counts, nil
}

// BlockList returns the blocks of a type, none when there are none.
func (c *Client) BlockList(ctx context.Context, t BlockType) ([]BlockEntry, error) {
	s := blockService(SubBlockList, t.String())
	data, err := c.fetch(ctx, s, &BlockListRequest{Type: t})
	var e *Error
	if errors.As(err, &e) && e.Refused == ErrNoBlock {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := BlockList(data, nil)
	if err != nil {
		return nil, s.failed(err)
	}
	return list, nil
}

// BlockInfo returns what the PLC knows about an active block.
func (c *Client) BlockInfo(ctx context.Context, t BlockType, number uint16) (BlockInfo, error) {
	f := BlockFile{Type: t, Number: uint32(number), System: FileActive}
	s := blockService(SubBlockInfo, f.String())
	data, err := c.fetch(ctx, s, &BlockInfoRequest{File: f})
	if err != nil {
		return BlockInfo{}, err
	}
	var m BlockInfo
	if err := m.Decode(data); err != nil {
		return BlockInfo{}, s.failed(err)
	}
	return m, nil
}

// fileService is a Job about a block.
func fileService(f Function, file BlockFile) service {
	return service{what: Error{Function: f, Object: file.String()}, patience: servicePatience}
}

// Upload reads the image of an active block, of at most MaxBlock bytes: Block decodes it.
func (c *Client) Upload(ctx context.Context, t BlockType, number uint16) (image []byte, err error) {
	f := BlockFile{Type: t, Number: uint32(number), System: FileActive}
	s := fileService(FuncUploadStart, f)
	if err := c.diagnostics(s); err != nil {
		return nil, err
	}
	var started UploadStartResponse
	if err := c.job(ctx, s, &UploadStartRequest{File: f}, &started); err != nil {
		return nil, err
	}
	image, err = c.slices(ctx, f, started.ID)
	end := UploadEndRequest{ID: started.ID}
	if err != nil {
		end.Reason = ErrNotPerformed // the PLC has few uploads at once: it is told when one is over
	}
	if endErr := c.job(ctx, fileService(FuncUploadEnd, f), &end, &Done{Function: FuncUploadEnd}); err == nil {
		err = endErr
	}
	if err != nil {
		return nil, err
	}
	return image, nil
}

// slices reads the parts of an upload. One that is empty, and not the last, brings nobody forward.
func (c *Client) slices(ctx context.Context, f BlockFile, id uint32) (image []byte, err error) {
	s := fileService(FuncUpload, f)
	for {
		m := Slice{Function: FuncUpload}
		if err := c.job(ctx, s, &UploadRequest{ID: id}, &m); err != nil {
			return nil, err
		}
		switch {
		case m.Failed:
			return nil, s.failed(malformedData(m.Data, "the PLC broke the upload off"))
		case m.More && len(m.Data) == 0:
			return nil, s.failed(malformedData(m.Data, "an empty slice"))
		case len(image)+len(m.Data) > MaxBlock:
			return nil, s.failed(malformedData(m.Data, "a block without an end"))
		}
		if image = append(image, m.Data...); !m.More {
			return image, nil
		}
	}
}
