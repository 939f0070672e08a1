"""The service model of the control plane, walked: what its shapes say must be taken, refused and answered, sent to a real server.

model    the operations in scope, and places within their shapes
text     texts of a pattern and a length
values   valid inputs: the least, the plain, the most
breaks   inputs that break one rule of the model each
rules    what the model does not say: examples, rules across members, Innkeep's own deviations
wire     an input as rest-json has it, signed, also one that no SDK would send
answers  what is wrong with an answer
walk     all of it against one server

The model is botocore's, read where that is installed.
"""
