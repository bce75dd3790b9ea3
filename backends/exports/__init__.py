"""Files of trained models for programs that do not train here: Torch7 and Caffe."""
