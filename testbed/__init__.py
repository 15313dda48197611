"""What tests, measures and the demonstration stand on.

The lab's servers as people and machines use them, stand-ins for what is around a program, and how to wait.
"""
